"""Java's login modules and key stores in librdkafka's words (pure).

No message holds a value: it may be a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping

from streambind.errors import ConfigurationError

_OPTION = re.compile(r"""([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))""")
_PEM = (".pem", ".crt", ".cer", ".key")
_PKCS12 = (".p12", ".pfx", ".pkcs12")


def parse_jaas(config: str) -> tuple[str, Mapping[str, str]]:
    """The login module and its options of a `sasl.jaas.config`."""
    module, _, rest = config.strip().partition(" ")
    options = {
        name: re.sub(r"\\(.)", r"\1", double or single) or bare
        for name, double, single, bare in _OPTION.findall(rest)
    }
    return module.rstrip(";"), options


def jaas_settings(module: str, options: Mapping[str, str], where: str) -> dict[str, str]:
    """The SASL settings that a login module stands for.

    Raises:
        ConfigurationError: there is no equivalent; the message names the settings to use instead.
    """
    name = module.rpartition(".")[2]
    if name in ("PlainLoginModule", "ScramLoginModule"):
        if "username" not in options or "password" not in options:
            raise ConfigurationError(f"{where}: {name} needs the options username and password")
        return {"sasl.username": options["username"], "sasl.password": options["password"]}
    if name == "Krb5LoginModule":
        pairs = {"keyTab": "sasl.kerberos.keytab", "principal": "sasl.kerberos.principal"}
        return {pairs[option]: value for option, value in options.items() if option in pairs}
    if name == "OAuthBearerLoginModule":
        raise ConfigurationError(
            f"{where}: {name} has no equivalent; set 'sasl.oauthbearer.method: oidc', "
            f"'sasl.oauthbearer.client.id', 'sasl.oauthbearer.client.secret' and "
            f"'sasl.oauthbearer.token.endpoint.url'"
        )
    raise ConfigurationError(
        f"{where}: the login module {name or '(none)'} has no equivalent; use PlainLoginModule, "
        f"ScramLoginModule or Krb5LoginModule, or set 'sasl.mechanism', 'sasl.username' and 'sasl.password'"
    )


def tls_settings(merged: Mapping[str, str], where: str) -> dict[str, str]:
    """What Java's trust store and key store are in librdkafka's words.

    Raises:
        ConfigurationError: a store that librdkafka cannot read; the message has the command that converts it.
    """
    return {**_trust_store(merged, where), **_key_store(merged, where)}


def _trust_store(merged: Mapping[str, str], where: str) -> dict[str, str]:
    location = merged.get("ssl.truststore.location")
    if location is None:
        return {}
    kind = _kind(merged.get("ssl.truststore.type"), location)
    if kind == "PEM":
        return {"ssl.ca.location": location}
    if kind == "PKCS12":
        command = f"openssl pkcs12 -in {location} -nokeys -out ca.pem"
    else:
        command = (
            f"keytool -importkeystore -srckeystore {location} -destkeystore ca.p12 -deststoretype PKCS12 "
            f"&& openssl pkcs12 -in ca.p12 -nokeys -out ca.pem"
        )
    raise ConfigurationError(
        f"{where}: 'ssl.truststore.location' is a {kind} store, which the client cannot read; convert it with "
        f"`{command}` and set 'ssl.ca.location' to ca.pem"
    )


def _key_store(merged: Mapping[str, str], where: str) -> dict[str, str]:
    location = merged.get("ssl.keystore.location")
    if location is None:
        return {}
    kind = _kind(merged.get("ssl.keystore.type"), location)
    if kind == "PEM":
        return {"ssl.certificate.location": location, "ssl.key.location": location}
    if kind == "PKCS12":
        password = merged.get("ssl.keystore.password")
        secret = {} if password is None else {"ssl.keystore.password": password}
        return {"ssl.keystore.location": location, **secret}
    raise ConfigurationError(
        f"{where}: 'ssl.keystore.location' is a JKS store, which the client cannot read; convert it with "
        f"`keytool -importkeystore -srckeystore {location} -destkeystore keystore.p12 -deststoretype PKCS12` "
        f"and set it to keystore.p12 with 'ssl.keystore.type: PKCS12'"
    )


def _kind(declared: str | None, location: str) -> str:
    if declared is not None:
        return declared.upper()
    if location.lower().endswith(_PEM):
        return "PEM"
    return "PKCS12" if location.lower().endswith(_PKCS12) else "JKS"
