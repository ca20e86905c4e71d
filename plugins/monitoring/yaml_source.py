"""YAML whose errors name file, line and field.

pydantic tells *which* field is wrong, YAML's nodes tell *where* it stands. Both configuration and
policies are read through this module, so that every error reads ``file:line: field: message``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from userdb.errors import ConfigError

#: Where a field stands: keys and list indexes from the document's root, as pydantic gives them.
Location = Sequence[str | int]
#: The 1-based line of a location; of the nearest enclosing one where it is absent.
Locate = Callable[[Location], int]

#: What stands before the first ``---`` and is no document: comments, directives, nothing.
_PREAMBLE = re.compile(r"(?:[ \t]*(?:[#%].*)?\r?\n)*")
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice: YAML forbids it, PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path | str, error: type[ConfigError] = ConfigError) -> tuple[Any, Locate]:
    """The document in ``path``, and a function from a location in it to its line.

    An empty file gives None.

    Raises:
        ConfigError (or ``error``): not readable, not UTF-8, or not one YAML document.
    """
    path = Path(path)
    try:
        return _parse(_read(path))
    except _Unreadable as cause:
        line = f":{cause.line}" if cause.line else ""
        raise error(f"{path}{line}: {cause.message}") from cause.__cause__


@dataclass(frozen=True)
class DocumentError:
    """Why a document can't be read, and the 1-based line."""

    line: int
    message: str


@dataclass(frozen=True)
class Document:
    """The ``number``th document of a file, from 1: ``data``, or else ``error``."""

    number: int
    data: Any
    locate: Locate
    error: DocumentError | None = None


def load_documents(path: Path | str) -> list[Document]:
    """The documents of a file, which ``---`` parts; one that is no YAML doesn't stop the others."""
    try:
        text = _read(Path(path))
    except _Unreadable as cause:
        return [Document(1, None, lambda _: 1, DocumentError(1, cause.message))]
    documents: list[Document] = []
    # a line of --- parts documents wherever it stands: text in a block is indented
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text) if match.start())]
    if len(starts) > 1 and _PREAMBLE.fullmatch(text, 0, starts[1]):
        del starts[1]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True), start=1):
        before = text.count("\n", 0, start)
        try:
            data, locate = _parse("\n" * before + text[start:end])
        except _Unreadable as cause:
            wrong = DocumentError(cause.line or before + 1, cause.message)
            documents.append(Document(number, None, lambda _: 1, wrong))
        else:
            documents.append(Document(number, data, locate))
    return documents


class _Unreadable(Exception):
    """Text that is no YAML document: why, and the 1-based line if it is known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as cause:
        raise _Unreadable(f"can't be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise _Unreadable(f"is not UTF-8 text (byte {cause.start})") from cause


def _parse(text: str) -> tuple[Any, Locate]:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        raise _Unreadable(str(cause.problem or cause), mark.line + 1 if mark else 1) from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        # a ReaderError (control characters), or a timestamp such as 2026-13-01
        raise _Unreadable(f"is not YAML: {cause}") from cause

    def locate(location: Location) -> int:
        return _line(root, location)

    return data, locate


def _line(root: yaml.Node | None, location: Location) -> int:
    if root is None:
        return 1
    node, line = root, root.start_mark.line + 1
    for part in location:
        found = _child(node, part)
        # pydantic's locations also name union members, which the document doesn't hold
        if found is not None:
            line, node = found
    return line


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode):
        if isinstance(part, int) and 0 <= part < len(node.value):
            child = node.value[part]
            return child.start_mark.line + 1, child
        return None
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.value == str(part):
            return key.start_mark.line + 1, value
        if key.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
    for other in merged:
        if (found := _child(other, part)) is not None:
            return found
    return None


def field_name(location: Location) -> str:
    """A location as text: ``request_logs.sources[0].format``; the root is ``(file)``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "(file)"


def invalid(
    path: Path | str,
    locate: Locate,
    cause: ValidationError,
    error: type[ConfigError] = ConfigError,
    within: Location = (),
) -> ConfigError:
    """The error to raise for ``cause``: a line ``file:line: field: message`` for each mistake.

    ``within`` is the location of the part that was validated, where that isn't the whole file.
    Values are not repeated: they may be secret.
    """
    lines = []
    for mistake in cause.errors(include_url=False, include_context=False, include_input=False):
        location = (*within, *mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        lines.append((locate(location), field_name(location), message))
    return error(
        "\n".join(f"{path}:{line}: {field}: {text}" for line, field, text in sorted(lines))
    )
