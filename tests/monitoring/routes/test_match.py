"""Which route wins, and which overlaps are told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import RequestLine, matches, rank, winner
from monitoring.routes.overlap import overlap, overlaps

from tests.monitoring.routes.tables import requests, routes, tables


def route(name: str, **given: Any) -> RouteSpec:
    return RouteSpec.model_validate({"name": name, "service": "sim", **given})


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"priority": 1}, {"hosts": ["a.example"], "path_type": "exact"}),
        ({"hosts": ["a.example"]}, {"hosts": ["*.example"], "path": "/a"}),
        ({"hosts": ["*.example"]}, {"path": "/a"}),
        ({"path_type": "exact", "path": "/a"}, {"path_type": "regex", "path": "/[ab]"}),
        ({"path_type": "regex", "path": "/[ab]"}, {"path": "/a"}),
        ({"path": "/a/b"}, {"path": "/a", "methods": ["GET"]}),
        ({"methods": ["GET"]}, {"headers": {"x-v": "1"}}),
        ({"headers": {"x-v": "1"}}, {}),
    ],
)
def test_the_more_specific_route_wins(better: dict[str, Any], worse: dict[str, Any]) -> None:
    # whatever their names are
    for names in (("a", "b"), ("b", "a")):
        first, second = route(names[0], **better), route(names[1], **worse)
        assert rank(first) < rank(second)


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"path": "/api"}, "/api", True),
        ({"path": "/api"}, "/api/", True),
        ({"path": "/api"}, "/apis", False),
        ({"path": "/"}, "/anything", True),
        ({"path": "/api", "path_type": "exact"}, "/api/", False),
        ({"path": r"/api/\d+", "path_type": "regex"}, "/api/12", True),
        ({"path": r"/api/\d+", "path_type": "regex"}, "/api/12/x", False),
        ({"path": r"/api/\d+", "path_type": "regex"}, "/api/٣", False),
    ],
)
def test_paths_match_whole_segments(given: dict[str, Any], path: str, expected: bool) -> None:
    assert matches(route("a", **given), RequestLine("any", path)) is expected


def test_a_wildcard_stands_for_one_label() -> None:
    wild = route("a", hosts=["*.example.com"])
    found = [
        h
        for h in ("a.example.com", "example.com", "a.b.example.com", "A.EXAMPLE.com")
        if matches(wild, RequestLine(h, "/"))
    ]
    assert found == ["a.example.com", "A.EXAMPLE.com"]


def test_a_route_that_is_not_enabled_gets_nothing() -> None:
    table = [route("a", path="/a", enabled=False), route("b")]
    found = winner(table, RequestLine("x", "/a"))
    assert found is not None
    assert found.name == "b"


@given(tables(), requests, st.integers())
def test_the_winner_does_not_depend_on_the_order_of_rows(
    table: list[RouteSpec], request: RequestLine, seed: int
) -> None:
    shuffled = random.Random(seed).sample(table, len(table))
    assert winner(table, request) == winner(shuffled, request)


@settings(max_examples=300)
@given(routes(name="a"), routes(name="b"), requests)
def test_no_overlap_goes_untold_and_its_winner_is_the_one_that_wins(
    one: RouteSpec, other: RouteSpec, request: RequestLine
) -> None:
    assert overlap(one, other) == overlap(other, one)
    if matches(one, request) and matches(other, request):
        (told,) = overlaps(one, [other])
        won = winner([one, other], request)
        assert won is not None
        assert told.winner == won.name
        assert told.route == "b"


def test_overlaps_say_who_wins_and_why() -> None:
    told = overlaps(
        route("api", path="/api"),
        [
            route("root"),
            route("v2", path="/api/v2"),
            route("ids", path_type="regex", path=r"/api/\d+"),
            route("elsewhere", path="/other"),
            route("off", enabled=False),
        ],
    )
    assert [(one.route, one.winner, one.certain) for one in told] == [
        ("ids", "ids", False),
        ("root", "api", True),
        ("v2", "v2", True),
    ]
    assert told[1].message == (
        "requests that match api and root: they go to api, because its path is longer"
    )
