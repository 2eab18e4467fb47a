"""What travels open for everybody on the way to read or to change (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_PROTOCOL = "security.protocol"
_HOST_CHECK = "ssl.endpoint.identification.algorithm"
_CERTIFICATE_CHECK = "enable.ssl.certificate.verification"


def cautions(brokers: Sequence[str], settings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Warnings by the name of the binder's property. `settings` are those of its clients, most general first.

    A Spring file that says nothing of security works as it does in Spring, in plain text; here it is told."""
    found: dict[str, str] = {}
    away = [broker for broker in brokers if not _is_here(broker)]
    if away and not any(_PROTOCOL in each for each in settings):
        found["brokers"] = (
            f"nothing says how {', '.join(away)} is reached, so messages and passwords travel in plain text; set "
            f"'{_PROTOCOL}' in the binder's configuration to SASL_SSL or SSL, or to PLAINTEXT if that is meant"
        )
    for each in settings:
        if each.get(_HOST_CHECK, "https").lower() != "https":
            found["configuration"] = (
                f"'{_HOST_CHECK}' is off: whoever has a valid certificate of any host can pose as the broker; "
                "leave it at https"
            )
        if each.get(_CERTIFICATE_CHECK, "true").lower() == "false":
            found["configuration"] = (
                f"'{_CERTIFICATE_CHECK}' is off: anybody can pose as the broker; set 'ssl.ca.location' instead"
            )
    return found


def _is_here(broker: str) -> bool:
    """Whether the address is one of this machine's own, which nothing leaves."""
    host = broker.rpartition("//")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return host.lower() == "localhost" or host.startswith("127.") or host == "::1"
