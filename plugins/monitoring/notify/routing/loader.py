"""Reads routing.yaml. A part that is wrong never keeps the others from being told.

What is wrong is left out, and always so that rather more is told: a route's alerts fall to the
route above it, a rule of inhibition inhibits nothing, a time interval mutes nothing. A file that
can't be read at all is as if there were none: every receiver is told everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitoring.notify.receiver_spec import read_specs
from monitoring.notify.routing.definition import RoutingSpec
from monitoring.notify.routing.tree import Routing, build
from monitoring.policy.loader import ROUTING_FILE, policies_path
from monitoring.yaml_source import Locate, Location, field_name, invalid, load_yaml
from userdb.errors import ConfigError

#: Lists whose entries stand for themselves.
_LISTS = ("inhibit_rules", "time_intervals")


@dataclass(frozen=True)
class LoadedRouting:
    """What a file says, and what is wrong with the rest of it: by file and part.

    Attributes:
        errors: all of them.
        receiver_errors: those that are about receivers, by name where it is known.
        path: None where there is no file.
    """

    routing: Routing
    errors: Mapping[str, str] = field(default_factory=dict)
    receiver_errors: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


def routing_path() -> Path:
    """MONITORING_ROUTING, else ``routing.yaml`` in the folder of policies."""
    named = os.environ.get("MONITORING_ROUTING", "").strip()
    if named:
        return Path(named)
    policies = policies_path()
    return (policies if policies.is_dir() else policies.parent) / ROUTING_FILE


def load_routing(path: Path | str | None = None) -> LoadedRouting:
    """The routing in use, or that at ``path``. Never raises: what is wrong is in its errors."""
    file = routing_path() if path is None else Path(path)
    named = path is not None or bool(os.environ.get("MONITORING_ROUTING", "").strip())
    if not named and not file.exists():
        return LoadedRouting(Routing())
    try:
        data, locate = load_yaml(file)
    except ConfigError as error:
        return _nothing(file, str(error))
    if not isinstance(data, dict | None):
        return _nothing(file, f"{file}:1: (file): must be a mapping; see docs/routing.md")
    copy = _copy(data or {})
    receivers, wrong = read_specs(file, copy.pop("receivers", None), locate)
    spec, errors = _spec(file, copy, locate)
    for location, told in _inconsistent(data or {}):
        name = field_name(location)
        errors[name] = f"{file}:{locate(location)}: {name}: {told}"
    routing = replace(Routing() if spec is None else build(spec), receivers=receivers)
    return LoadedRouting(routing, {**errors, **wrong}, wrong, file)


def _nothing(file: Path, why: str) -> LoadedRouting:
    errors = {str(file): why}
    return LoadedRouting(Routing(), errors, errors, file)


def load_valid_routing(path: Path) -> Routing:
    """The routing at ``path``, all of it valid.

    Raises:
        ConfigError: what is wrong with it, a line each.
    """
    loaded = load_routing(path)
    if loaded.errors:
        raise ConfigError("\n".join(loaded.errors.values()))
    return loaded.routing


def _copy(data: Any) -> Any:
    """Without what YAML's aliases share."""
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(one) for one in data] if isinstance(data, list) else data


def _spec(
    file: Path, data: dict[str, Any], locate: Locate
) -> tuple[RoutingSpec | None, dict[str, str]]:
    """What of the file is valid, and what is wrong with the rest, by field."""
    try:
        return RoutingSpec.model_validate(data), {}
    except ValidationError as error:
        lines = str(invalid(file, locate, error)).split("\n")
        wrong = sorted({_part(one["loc"]) for one in error.errors()}, key=str)
    errors = {_field(line): line for line in lines}
    for part in wrong:
        _cut(data, part)
    try:
        return RoutingSpec.model_validate(_without_cut(data)), errors
    except ValidationError:  # what was cut was needed
        return None, errors


def _field(line: str) -> str:
    """The field that an error is of: lines read ``file:line: field: message``."""
    return line.split(": ")[1] if line.count(": ") > 1 else line


def _part(location: Location) -> tuple[str | int, ...]:
    """The smallest part with ``location`` that can be left out: an entry of a list of the file,
    the innermost child of the root that is wrong, or a field of the root."""
    if location[:1] != ("route",):
        return tuple(location[: 2 if location[0] in _LISTS else 1])
    end = 1
    while location[end : end + 1] == ("routes",) and len(location) > end + 1:
        end += 2
    return tuple(location[: max(end, 2)])


_CUT = object()


def _cut(data: Any, part: Location) -> None:
    """Mark a part, so that the places of others stay the same."""
    *above, last = part
    try:
        for one in above:
            data = data[one]
        data[last] = _CUT
    except (KeyError, IndexError, TypeError):
        return  # it is in a part that was cut already


def _without_cut(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_cut(value) for key, value in data.items() if value is not _CUT}
    if isinstance(data, list):
        return [_without_cut(one) for one in data if one is not _CUT]
    return data


def _inconsistent(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """What no part alone shows: names that are unknown or given twice, and a root that picks."""
    known: set[str] = set()
    for at, name in _names(data.get("time_intervals")):
        if name in known:
            place = ("time_intervals", at, "name")
            yield place, f"the name {name!r} is given twice; names are unique"
        known.add(name)
    root = data.get("route")
    if isinstance(root, dict) and root.get("matchers"):
        yield ("route", "matchers"), "the root takes every alert; give matchers to its routes"
    yield from _unknown_intervals(data.get("route"), ("route",), known)


def _names(entries: Any) -> Iterator[tuple[int, str]]:
    for at, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            yield at, entry["name"]


def _unknown_intervals(
    route: Any, place: Location, known: set[str]
) -> Iterator[tuple[Location, str]]:
    if not isinstance(route, dict):
        return
    for kind in ("mute_times", "active_times"):
        names = route.get(kind)
        for at, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in known:
                listed = ", ".join(sorted(known)) or "none"
                yield (
                    (*place, kind, at),
                    f"there is no time interval {name!r}; time_intervals has {listed}",
                )
    children = route.get("routes")
    for at, child in enumerate(children if isinstance(children, list) else ()):
        yield from _unknown_intervals(child, (*place, "routes", at), known)
