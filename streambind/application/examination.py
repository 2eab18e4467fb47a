"""What a configuration shows to be wrong beyond its keys and types, without asking anybody."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC

from streambind.application.channels import ChannelPlan
from streambind.application.declarations import Declarations
from streambind.application.input_targets import input_findings
from streambind.application.outputs import plan_outputs
from streambind.binding.factory import BinderFactory
from streambind.configuration import BindingProperties, Configuration, Finding, Severity
from streambind.configuration.destinations import destinations_of
from streambind.conversion import converter_for
from streambind.errors import ConfigurationError
from streambind.persistence.database import Database


def examine(configuration: Configuration) -> list[Finding]:
    """All of it, of a configuration without code; an application finds it, and more, when it is built."""
    outputs = ChannelPlan(configuration, Declarations()).channels.outputs
    _, findings = plan_outputs(outputs, configuration, UTC)
    return [
        *_url_findings(configuration),
        *destination_findings(configuration, outputs),
        *findings,
        *_unreadable(configuration, outputs),
        *input_findings(configuration, [n for n in configuration.properties.bindings if n not in outputs], {}),
    ]


def destination_findings(configuration: Configuration, outputs: Collection[str]) -> Iterator[Finding]:
    """Names that the binder's broker could never have."""
    binders = BinderFactory(configuration)
    for name, properties in configuration.properties.bindings.items():
        try:
            settings = configuration.binder(configuration.binder_name(name))
            fault_of = binders.type_of(settings.name).destination_fault
        except ConfigurationError:
            continue  # Which is a finding already.
        is_output = name in outputs
        extended = settings.producer(name) if is_output else settings.consumer(name)
        for destination in (properties.destination or name,) if is_output else destinations_of(name, properties):
            if (fault := fault_of(destination, extended)) is not None:
                text = f"binding {name}: destination {destination!r} {fault}"
                yield Finding(Severity.ERROR, text, configuration.origin_of(_written(name, properties)))


def _written(name: str, properties: BindingProperties) -> str:
    return f"bindings.{name}" if properties.destination is None else f"bindings.{name}.destination"


def _url_findings(configuration: Configuration) -> Iterator[Finding]:
    url = configuration.properties.datasource.url
    if url is None:
        return
    try:
        Database.check_url(url.get_secret_value())
    except ConfigurationError as error:
        yield Finding(Severity.ERROR, str(error), configuration.origin_of("datasource.url"))


def _unreadable(configuration: Configuration, outputs: Collection[str]) -> Iterator[Finding]:
    """Inputs whose content type only listeners for bytes, text or the message itself can take."""
    for name, properties in configuration.properties.bindings.items():
        if name in outputs:
            continue
        try:
            converter_for(properties.content_type)
        except ConfigurationError as error:
            text = f"{error}. Without one only listeners that take str, bytes or Message can listen to {name}"
            yield Finding(Severity.WARNING, text, configuration.origin_of(f"bindings.{name}.content-type"))
