"""Which route a request belongs to. Pure.

The table has one total order, which doesn't depend on the request; the first route in it that
matches wins, on every gateway. First comes the higher priority; then, as in the Gateway API of
Kubernetes, the more specific one: by host (all exact, else a wildcard among them, else any), by
path (exact, then regex as in nginx, then prefix; the longer first), by method, by the number of
headers; at last the name decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from monitoring.routes.definition import RouteSpec

_PATH_RANKS = {"exact": 0, "regex": 1, "prefix": 2}
#: What decides between two routes, in the order of ``rank``'s parts.
_REASONS = (
    "its priority is higher",
    "its hosts are more specific",
    "its kind of path is more specific (exact, then regex, then prefix)",
    "its path is longer",
    "it is for certain methods alone",
    "it asks for more headers",
    "its name comes first",
)

Rank = tuple[int, int, int, int, int, int, str]
R = TypeVar("R", bound=RouteSpec)


@dataclass(frozen=True)
class RequestLine:
    """What routes look at.

    Attributes:
        host: without port.
        path: decoded, without query.
        headers: by name in lower case.
    """

    host: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)


def rank(route: RouteSpec) -> Rank:
    """The route's place in the table's order: lower comes first."""
    hosts = 2 if not route.hosts else int(any(host.startswith("*.") for host in route.hosts))
    return (
        -route.priority,
        hosts,
        _PATH_RANKS[route.path_type],
        -len(route.path),
        int(not route.methods),
        -len(route.headers),
        route.name,
    )


def in_order(routes: Iterable[R]) -> list[R]:
    """The enabled routes, the first to be asked first."""
    return sorted((route for route in routes if route.enabled), key=rank)


def winner(routes: Iterable[R], request: RequestLine) -> R | None:
    """The route that the request belongs to; None where none matches."""
    return next((route for route in in_order(routes) if matches(route, request)), None)


def matches(route: RouteSpec, request: RequestLine) -> bool:
    """Whether the route, enabled or not, is for such requests."""
    return (
        (not route.hosts or any(_host_matches(host, request.host) for host in route.hosts))
        and path_matches(route, request.path)
        and (not route.methods or request.method in route.methods)
        and all(request.headers.get(name) == value for name, value in route.headers.items())
    )


def path_matches(route: RouteSpec, path: str) -> bool:
    if route.path_type == "regex":
        return re.fullmatch(route.path, path, re.ASCII) is not None
    if route.path_type == "exact":
        return path == route.path
    return path == route.path or path.startswith(route.path.rstrip("/") + "/")


def why(first: RouteSpec, second: RouteSpec) -> str:
    """Why ``first`` comes before ``second``, for people."""
    pairs = zip(rank(first), rank(second), _REASONS, strict=True)
    return next(reason for one, other, reason in pairs if one != other)


def _host_matches(pattern: str, host: str) -> bool:
    host = host.lower()
    if pattern.startswith("*."):
        label, _, rest = host.partition(".")
        return bool(label) and rest == pattern[2:]
    return host == pattern
