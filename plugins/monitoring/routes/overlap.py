"""Routes that may be for the same request, and which one gets it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import path_matches, rank, why
from monitoring.routes.regex import literal_prefix


@dataclass(frozen=True)
class Overlap:
    """Another route that may be for the same requests.

    Attributes:
        route: the other's name.
        winner: the name of the one that gets what both match.
        certain: False where regular expressions may have nothing in common after all.
    """

    route: str
    winner: str
    certain: bool
    message: str


def overlaps(route: RouteSpec, others: Iterable[RouteSpec]) -> list[Overlap]:
    """The enabled routes among ``others`` that overlap with ``route``, by name."""
    found = []
    for other in sorted(others, key=lambda one: one.name):
        if route.enabled and other.enabled and other.name != route.name and overlap(route, other):
            first, second = sorted((route, other), key=rank)
            certain = _certain(route, other)
            found.append(
                Overlap(
                    route=other.name,
                    winner=first.name,
                    certain=certain,
                    message=(
                        f"{'requests' if certain else 'there may be requests'} that match "
                        f"{route.name} and {other.name}: they go to {first.name}, because "
                        f"{why(first, second)}"
                    ),
                )
            )
    return found


def overlap(one: RouteSpec, other: RouteSpec) -> bool:
    """Whether some request may match both; False is certain."""
    return (
        _hosts_meet(one.hosts, other.hosts)
        and (not one.methods or not other.methods or bool({*one.methods} & {*other.methods}))
        and all(other.headers.get(name, value) == value for name, value in one.headers.items())
        and _paths_meet(one, other)
    )


def _certain(one: RouteSpec, other: RouteSpec) -> bool:
    return "exact" in (one.path_type, other.path_type) or "regex" not in (
        one.path_type,
        other.path_type,
    )


def _hosts_meet(one: list[str], other: list[str]) -> bool:
    return not one or not other or any(_host_meets(a, b) for a in one for b in other)


def _host_meets(one: str, other: str) -> bool:
    if one == other:
        return True
    if one.startswith("*.") == other.startswith("*."):
        return False
    wildcard, name = (one, other) if one.startswith("*.") else (other, one)
    return name.partition(".")[2] == wildcard[2:]


def _paths_meet(one: RouteSpec, other: RouteSpec) -> bool:
    for exact, rest in ((one, other), (other, one)):
        if exact.path_type == "exact":
            return path_matches(rest, exact.path)
    if one.path_type == other.path_type == "prefix":
        return path_matches(one, other.path) or path_matches(other, one.path)
    starts = [
        literal_prefix(route.path) if route.path_type == "regex" else route.path.rstrip("/") + "/"
        for route in (one, other)
    ]
    # a prefix is for its own path too, which has no slash at the end
    return (
        starts[0].startswith(starts[1])
        or starts[1].startswith(starts[0])
        or any(
            route.path_type == "prefix" and start == route.path
            for route, start in ((one, starts[1]), (other, starts[0]))
        )
    )
