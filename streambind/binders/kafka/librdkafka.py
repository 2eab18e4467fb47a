"""The C library underneath the client, called directly where the Python client has no door.

Two things need it: the list of setting names, and the broker that librdkafka carries for tests. The library is
looked up through the client's own extension module, so it is the very one in use, wherever the wheel or the
distribution put it.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from confluent_kafka import cimpl

POINTER = ctypes.c_void_p
INT = ctypes.c_int
INT16 = ctypes.c_int16
INT32 = ctypes.c_int32
TEXT = ctypes.c_char_p
SIZE = ctypes.c_size_t


@cache
def library() -> ctypes.CDLL:
    """The loaded library; symbols of the extension module's dependencies are found through it.

    Raises:
        OSError: this platform does not offer them.
    """
    loaded = ctypes.CDLL(cimpl.__file__)
    if not hasattr(loaded, "rd_kafka_conf_new"):
        raise OSError(f"librdkafka cannot be called through {cimpl.__file__} on this platform")
    return loaded


def function(name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """A C function with its types declared.

    Raises:
        OSError: the library cannot be called, or is too old to have the function.
    """
    try:
        found = library()[name]
    except AttributeError as exc:
        raise OSError(f"this librdkafka has no {name}; install a newer confluent-kafka") from exc
    found.restype = result
    found.argtypes = list(arguments)
    return found


@cache
def setting_names() -> Mapping[str, str]:
    """Every setting that this librdkafka knows, with the clients it is for: `C`, `P` or `*`; empty if the
    library cannot be asked (then the client itself refuses unknown names when it is made)."""
    try:
        table = _properties_table()
    except OSError:
        return {}
    names: dict[str, str] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) >= 6 and cells[1] in ("C", "P", "*") and cells[0]:
            kept = names.get(cells[0])
            names[cells[0]] = cells[1] if kept in (None, cells[1]) else "*"
    return names


def _properties_table() -> str:
    show = function("rd_kafka_conf_properties_show", None, [POINTER])
    libc = ctypes.CDLL(None)
    libc.fdopen.restype, libc.fdopen.argtypes = POINTER, [INT, TEXT]
    libc.fclose.restype, libc.fclose.argtypes = INT, [POINTER]
    with tempfile.TemporaryFile() as file:
        stream = libc.fdopen(os.dup(file.fileno()), b"w")
        if not stream:
            raise OSError("no stream for the list of settings")
        show(stream)
        libc.fclose(stream)
        file.seek(0)
        return file.read().decode(errors="replace")
