"""Configuration: YAML documents, environment, arguments and code become validated properties with places."""

from streambind.configuration.durations import Milliseconds, Seconds
from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.loaded import BinderSettings, Configuration, Entry
from streambind.configuration.loader import load
from streambind.configuration.properties import (
    BindingProperties,
    ConsumerProperties,
    NoEffect,
    ProducerProperties,
    Properties,
    StreamProperties,
)
from streambind.configuration.shape import BinderModels

__all__ = [
    "BinderModels",
    "BinderSettings",
    "BindingProperties",
    "Configuration",
    "ConsumerProperties",
    "Entry",
    "Finding",
    "Milliseconds",
    "NoEffect",
    "Origin",
    "ProducerProperties",
    "Properties",
    "Seconds",
    "Severity",
    "StreamProperties",
    "load",
]
