"""Finds binders by their entry points and makes them when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points

from streambind.binding.binder import Binder
from streambind.binding.binder_type import BinderType
from streambind.configuration import Configuration
from streambind.configuration.names import did_you_mean
from streambind.errors import ConfigurationError

GROUP = "streambind.binders"


@lru_cache(maxsize=1)
def binder_types() -> Mapping[str, BinderType]:
    """The installed binder types by name (the key segment under `spring.cloud.stream`)."""
    found: dict[str, BinderType] = {}
    for point in entry_points(group=GROUP):
        binder_type: BinderType = point.load()
        found[binder_type.name] = binder_type
    return found


class BinderFactory:
    """One binder per configured name, shared by all its bindings. Thread-safe."""

    def __init__(self, configuration: Configuration, types: Mapping[str, BinderType] | None = None) -> None:
        self._configuration = configuration
        self._types = binder_types() if types is None else types
        self._binders: dict[str, Binder] = {}
        self._lock = threading.Lock()

    def type_of(self, name: str) -> BinderType:
        """The type of the configured binder `name`.

        Raises:
            ConfigurationError: no package installed brings it.
        """
        type_name = self._configuration.binder(name).type_name
        found = self._types.get(type_name)
        if found is None:
            hint = did_you_mean(type_name, self._types) or "."
            raise ConfigurationError(
                f"no binder of type {type_name!r} is installed{hint} Installed: {', '.join(sorted(self._types))}"
            )
        return found

    def binder(self, name: str) -> Binder:
        """The binder configured under `name`; made on first use, connected to nothing yet."""
        with self._lock:
            if name not in self._binders:
                settings = self._configuration.binder(name)
                self._binders[name] = self.type_of(name).create(settings.properties)
            return self._binders[name]

    def close(self, timeout_ms: int) -> None:
        """Close every binder that was made; the factory makes new ones when it is asked again."""
        with self._lock:
            binders, self._binders = list(self._binders.values()), {}
        for binder in binders:
            binder.close(timeout_ms)
