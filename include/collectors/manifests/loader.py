"""A folder of manifests, read document by document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.yaml_source import Document, field_name, load_documents
from pydantic import ValidationError

from include.collectors.manifests.definition import KINDS, Declared, declared
from userdb.errors import ConfigError

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a manifest: ``where`` is ``file:line (document n)``."""

    where: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.message}"


@dataclass(frozen=True)
class Manifests:
    """What a folder declares, and what is wrong with the rest of it.

    ``passed_over`` documents are of kinds that run nothing.
    """

    containers: tuple[Declared, ...]
    problems: tuple[Problem, ...]
    files: int
    passed_over: int

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(one.namespace for one in self.containers)


def load_manifests(folder: Path | str) -> Manifests:
    """Read every .yaml, .yml and .json below ``folder``; a bad document doesn't stop the others.

    Raises:
        ConfigError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder of manifests {folder}; create it, or correct its path"
        )
    files = sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES and not p.is_dir())
    found: list[Declared] = []
    problems: list[Problem] = []
    owners: dict[tuple[str, str, str], str] = {}
    passed_over = 0
    for file in files:
        for document in load_documents(file):
            name = str(file.relative_to(folder))
            if document.error is not None:
                where = f"{name}:{document.error.line} (document {document.number})"
                problems.append(Problem(where, "(document)", document.error.message))
                continue
            for within, data in _items(document.data):
                where = f"{name}:{document.locate(within)} (document {document.number})"
                one, wrong = _read(document, within, data, name)
                problems += wrong
                if one is None:
                    passed_over += not wrong
                    continue
                kind, manifest = one
                key = (kind, manifest.metadata.namespace, manifest.metadata.name)
                if key in owners:
                    told = f"{kind} {key[1]}/{key[2]} is declared before, in {owners[key]}"
                    problems.append(Problem(where, "metadata.name", told))
                    continue
                owners[key] = where
                found += declared(kind, manifest, where)
    return Manifests(tuple(found), tuple(problems), len(files), passed_over)


def _items(data: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """A document, or what a List holds, with where it stands; nothing of an empty one."""
    if (
        isinstance(data, dict)
        and data.get("kind") == "List"
        and isinstance(data.get("items"), list)
    ):
        for index, item in enumerate(data["items"]):
            yield ("items", index), item
    elif data is not None:
        yield (), data


def _read(
    document: Document, within: tuple[str | int, ...], data: Any, file: str
) -> tuple[tuple[str, Any] | None, list[Problem]]:
    """The kind and manifest, or what is wrong; neither for a kind that runs nothing."""

    def problem(location: tuple[str | int, ...], message: str) -> Problem:
        at = (*within, *location)
        where = f"{file}:{document.locate(at)} (document {document.number})"
        return Problem(where, field_name(at), message)

    if not isinstance(data, dict):
        return None, [problem((), "is no manifest, which has apiVersion, kind and metadata")]
    kind = data.get("kind")
    if not isinstance(kind, str) or not isinstance(data.get("apiVersion"), str):
        missing = "apiVersion" if isinstance(kind, str) else "kind"
        return None, [problem((missing,), "is missing, or no text")]
    if kind not in KINDS:
        return None, []
    try:
        return (kind, KINDS[kind].model_validate(data)), []
    except ValidationError as cause:
        # values are not repeated: they may be secret
        return None, [
            problem(mistake["loc"], mistake["msg"].removeprefix("Value error, "))
            for mistake in cause.errors(
                include_url=False, include_context=False, include_input=False
            )
        ]
