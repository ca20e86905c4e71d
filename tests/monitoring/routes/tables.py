"""Route tables and requests out of few words, so that much overlaps."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import RequestLine

HOSTS = ("a.example", "b.example", "x.b.example", "*.example", "*.b.example")
PATHS = ("/", "/a", "/a/b", "/ab", "/a.b", "/a/b/c", "/a/")
REGEXES = (
    r"/a/\d+",
    r"/a(?:/b)?",
    "/.*",
    "/[ab/]+",
    "/a|/ab",
    r"/a\.b",
    "/(?:a/?)+b{1,2}",
    "/A?b*",
)
HEADERS = ({}, {"x-v": "1"}, {"x-v": "2"}, {"x-v": "1", "x-user-id": "a b"})
METHODS = ("GET", "POST", "HEAD")
#: what requests ask for, beside the paths of routes
ASKED = (*PATHS, "/a/12", "/ab/", "/a/b/", "/axb", "/b", "/a/b\n", "/abb", "/aa/b", "/A", "/a\n/b")


@st.composite
def routes(draw: st.DrawFn, name: str = "") -> RouteSpec:
    kind = draw(st.sampled_from(("prefix", "exact", "regex")))
    given: dict[str, Any] = {
        "name": name or draw(st.sampled_from("abcdefgh")),
        "hosts": draw(st.lists(st.sampled_from(HOSTS), max_size=2)),
        "path_type": kind,
        "path": draw(st.sampled_from(REGEXES if kind == "regex" else PATHS)),
        "methods": draw(st.lists(st.sampled_from(METHODS), max_size=2)),
        "headers": draw(st.sampled_from(HEADERS)),
        "service": "sim",
        "priority": draw(st.sampled_from((0, 0, 0, 1, -1))),
    }
    return RouteSpec.model_validate(given)


@st.composite
def tables(draw: st.DrawFn) -> list[RouteSpec]:
    """Up to eight routes with different names."""
    return [draw(routes(name=f"r{number}")) for number in range(draw(st.integers(0, 8)))]


requests = st.builds(
    RequestLine,
    host=st.sampled_from(("a.example", "b.example", "x.b.example", "y.x.b.example", "other")),
    path=st.sampled_from(ASKED),
    method=st.sampled_from(METHODS),
    headers=st.sampled_from(HEADERS),
)
