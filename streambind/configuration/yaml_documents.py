"""YAML files as flat documents with places: line and column of every name and value.

Nothing of YAML is constructed: a scalar stays the text that stands in the file (`007`, `no` and `2022-08-08`
are not guessed at; the schema decides), `null` and empty collections are the empty text. What a file can do to
its reader is bounded: its size, the depth of nesting, and what aliases expand to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.flat import Flat, Value, too_long
from streambind.configuration.names import Name, dotted, is_rooted, parse_name

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 25_000

_TAG = "tag:yaml.org,2002:"
_NULL, _MERGE = _TAG + "null", _TAG + "merge"
_TAGS = {_TAG + t for t in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")}


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; `number` counts from 1."""

    source: str
    number: int
    flat: Flat = field(default_factory=Flat)


class _TooMuch(yaml.MarkedYAMLError):
    """Deeper or larger than the bound."""


class _Composer(yaml.SafeLoader):
    """Builds nodes only, no objects, and no deeper than the bound."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH}")
        if self.nodes > 2 * MAX_VALUES:
            self._refuse(f"the file holds more than {MAX_VALUES} names and values")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def _refuse(self, problem: str) -> NoReturn:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        raise _TooMuch(problem=problem, problem_mark=event.start_mark)


def read_documents(content: bytes, source: str) -> tuple[list[Document], list[Finding]]:
    """The documents of a file, and everything wrong with it as YAML. Never raises for any content.

    Of a file above `MAX_BYTES` it is enough to pass one byte more than that.
    """
    findings: list[Finding] = []
    text = _decode(content, source, findings)
    if text is None:
        return [], findings
    documents: list[Document] = []
    try:
        for number, root in enumerate(_nodes(text), start=1):
            reader = _Reader(Document(source, number), findings)
            if reader.read(root):
                documents.append(reader.document)
    except yaml.MarkedYAMLError as error:
        findings.append(_syntax(error, source))
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, error.position)
        problem = f"not allowed in YAML: character #x{ord(text[error.position]):04x}"
        findings.append(_error(problem, Origin(source, line, column)))
    if not documents and not findings:
        findings.append(Finding(Severity.WARNING, "the file holds no configuration", Origin(source, 1, 1)))
    return documents, findings


def _nodes(text: str) -> Iterator[yaml.Node]:
    composer = _Composer(text)
    try:
        while composer.check_node():
            yield composer.get_node()  # type: ignore[misc]
    except yaml.YAMLError:
        raise
    except Exception as error:
        # PyYAML lets out what int() and chr() say to numbers in escapes and directives.
        mark = composer.get_mark()
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=mark) from error
    finally:
        composer.dispose()


def _decode(content: bytes, source: str, findings: list[Finding]) -> str | None:
    if len(content) > MAX_BYTES:
        problem = f"the file has more than {MAX_BYTES} bytes, which is no configuration any more"
        findings.append(_error(problem, Origin(source, 1, 1)))
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        place = Origin(source, *_line_and_column(before, len(before)))
        findings.append(
            _error(f"not UTF-8: byte 0x{error.object[error.start]:02x}; save the file as UTF-8", place)
        )
        return None


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


def _syntax(error: yaml.MarkedYAMLError, source: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    place = Origin(source, mark.line + 1, mark.column + 1) if mark else Origin(source)
    problem = " ".join(filter(None, (error.context, error.problem)))
    if "'\\t'" in problem:
        problem = "a tab; YAML is indented with spaces"
    return _error(problem if isinstance(error, _TooMuch) else f"not YAML: {problem}", place)


def _error(text: str, origin: Origin) -> Finding:
    return Finding(Severity.ERROR, text, origin)


class _Reader:
    """Reads the nodes of one document into its flat values."""

    def __init__(self, document: Document, findings: list[Finding]) -> None:
        self.document = document
        self.findings = findings
        self.visited = 0

    def read(self, root: yaml.Node) -> bool:
        """Whether the document holds anything."""
        if isinstance(root, yaml.MappingNode):
            self._mapping(root, (), 1)
            return bool(root.value)
        if isinstance(root, yaml.ScalarNode) and root.tag == _NULL:
            return False
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
        self._report(f"the document is {kind}; it must be a mapping of names to values", root)
        return False

    def _mapping(self, node: yaml.MappingNode, prefix: Name, depth: int) -> None:
        own: dict[str, yaml.Node] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._report("a list or mapping cannot be a name", key)
            elif key.tag == _MERGE:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key.value in own:
                place = self._origin(own[key.value])
                self._report(f"duplicate key '{key.value}'; it stands in line {place.line} already", key)
            else:
                own[key.value] = key
                self._entry(key, value, prefix, depth)
        for other in merged:
            self._merged(other, own, prefix, depth)

    def _merged(self, node: yaml.Node, own: dict[str, yaml.Node], prefix: Name, depth: int) -> None:
        """What `<<: *anchor` brings: the anchor's keys that the mapping does not have itself."""
        if not isinstance(node, yaml.MappingNode):
            self._report("'<<' takes a mapping, or a list of mappings", node)
            return
        if not self._bounded(node, depth):
            return
        further: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                further += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif isinstance(key, yaml.ScalarNode) and key.value not in own:
                own[key.value] = key
                self._entry(key, value, prefix, depth)
        for other in further:
            self._merged(other, own, prefix, depth + 1)

    def _entry(self, key: yaml.ScalarNode, value: yaml.Node, prefix: Name, depth: int) -> None:
        segments = parse_name(key.value)
        problem = too_long(prefix + segments, self._origin(key))
        if problem is not None:
            self.findings.append(problem)
            return
        offset = 0
        for i in range(len(segments)):
            origin = self._origin(key, offset if key.style is None else 0)
            self.document.flat.mark(prefix + segments[: i + 1], origin)
            offset += len(segments[i]) + 1
        self._value(value, prefix + segments, origin, depth)

    def _value(self, node: yaml.Node, name: Name, origin: Origin, depth: int) -> None:
        if not self._bounded(node, depth):
            return
        if node.tag not in _TAGS:
            self._report(
                f"the tag '{node.tag.removeprefix(_TAG)}' is not supported; a text like this stands in quotes",
                node,
            )
        elif isinstance(node, yaml.MappingNode) and node.value:
            self._mapping(node, name, depth + 1)
        elif isinstance(node, yaml.SequenceNode) and node.value:
            for i, item in enumerate(node.value):
                item_name = (*name, f"[{i}]")
                self.document.flat.mark(item_name, self._origin(item))
                self._value(item, item_name, self._origin(item), depth + 1)
        else:
            plain = isinstance(node, yaml.ScalarNode) and node.tag != _NULL
            self._add(Value(name, node.value if plain else "", origin, self._origin(node)))

    def _add(self, value: Value) -> None:
        other = self.document.flat.add(value)
        if other is not None and is_rooted(value.name):
            problem = f"duplicate key '{dotted(value.name)}'; it stands in line {other.origin.line} already"
            if other.name != value.name:
                problem += f", as '{dotted(other.name)}'"
            self.findings.append(_error(problem, value.origin))

    def _bounded(self, node: yaml.Node, depth: int) -> bool:
        """Whether depth and number of values are within the bounds; reports the first time that they are not."""
        self.visited += 1
        if depth <= MAX_DEPTH and self.visited <= MAX_VALUES:
            return True
        if self.visited <= MAX_VALUES:
            self.visited = MAX_VALUES
            self._report(f"nested deeper than {MAX_DEPTH}; is an anchor used inside itself?", node)
        elif self.visited == MAX_VALUES + 1:
            self._report(f"the document expands to more than {MAX_VALUES} values", node)
        return False

    def _report(self, text: str, node: yaml.Node) -> None:
        self.findings.append(_error(text, self._origin(node)))

    def _origin(self, node: yaml.Node, offset: int = 0) -> Origin:
        mark = node.start_mark
        return Origin(self.document.source, mark.line + 1, mark.column + 1 + offset)
