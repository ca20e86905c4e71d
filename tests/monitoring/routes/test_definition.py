"""Routes are brought to one form, or refused with the field and the reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.routes.definition import RouteSpec, normal_path
from monitoring.routes.regex import literal_prefix, normal_regex
from pydantic import ValidationError


def route(**given: Any) -> RouteSpec:
    return RouteSpec.model_validate({"name": "r", "service": "sim", **given})


@pytest.mark.parametrize(
    ("given", "prefix", "exact"),
    [
        ("/", "/", "/"),
        ("//a//b/", "/a/b", "/a/b/"),
        ("/a/./b/../c", "/a/c", "/a/c"),
        ("/a/..", "/", "/"),
        ("/a/b/.", "/a/b", "/a/b/"),
    ],
)
def test_a_path_has_one_form(given: str, prefix: str, exact: str) -> None:
    assert normal_path(given, prefix=True) == prefix
    assert normal_path(given, prefix=False) == exact


@given(st.text("/.ab", min_size=1).map(lambda text: "/" + text), st.booleans())
def test_bringing_a_path_to_its_form_twice_changes_nothing(text: str, prefix: bool) -> None:
    try:
        once = normal_path(text, prefix=prefix)
    except ValueError:
        return
    assert normal_path(once, prefix=prefix) == once
    assert "//" not in once
    assert not {".", ".."} & set(once.split("/"))


def test_equal_routes_look_equal_however_they_are_written() -> None:
    first = route(hosts=["B.example", "a.example."], methods=["post", "GET"], path="/a/")
    other = route(
        name="other", hosts=["a.example", "b.example"], methods=["GET", "POST"], path="//a"
    )
    assert first.match_key == other.match_key
    assert first.match_key != route(path="/a").match_key
    assert route(headers={"X-A": " 1 "}).headers == {"x-a": "1"}
    assert route(path_type="regex", path=r"^/a\$$").path == r"/a\$"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": "a b"}),
        ("hosts", {"hosts": ["a.example:80"]}),
        ("hosts", {"hosts": ["*"]}),
        ("hosts", {"hosts": ["a.*.example"]}),
        ("path", {"path": "a"}),
        ("path", {"path": "/a%20b"}),
        ("path", {"path": "/a?b=1"}),
        ("path", {"path": "/../a"}),
        ("path", {"path": "/a\n"}),
        ("path", {"path_type": "regex", "path": "/("}),
        ("path_type", {"path_type": "glob"}),
        ("methods", {"methods": ["FETCH"]}),
        ("headers", {"headers": {"host": "a"}}),
        ("headers", {"headers": {"x_a": "1"}}),
        ("headers", {"headers": {"x-a": "$http_cookie"}}),
        ("headers", {"headers": {"x-a": "1", "X-A": "2"}}),
        ("priority", {"priority": 10**9}),
        ("strip_prefix", {"path_type": "exact", "strip_prefix": True}),
        ("timeout_s", {"timeout_s": 0}),
        ("colour", {"colour": "red"}),
    ],
)
def test_what_is_wrong_is_told_by_field(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        route(**given)
    assert {error["loc"][0] for error in raised.value.errors()} == {field}


@pytest.mark.parametrize(
    "regex",
    [
        *("/(?=a)", "/(?P<x>a)", "/(?i)a", r"/(a)\1", r"/\p{L}", r"/a\z", "/a^b", "/a$b", "/a++"),
        *("/a{,3}", "/a{1001}", "/[[:alpha:]]", "/[a", "/a`b", "/a b", "/é", r"/\x41", "/a**"),
        *("/(a{500}){500}", "/[a--b]", r"/[\b]", "/a{2", "/a)", "/[b-a]"),
    ],
)
def test_what_gateways_would_read_each_in_their_way_is_refused(regex: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normal_regex(regex)


@pytest.mark.parametrize(
    ("regex", "prefix"),
    [
        (r"/a\.b/\d+", "/a.b/"),
        ("/ab*", "/a"),
        ("/a|/b", ""),
        ("/[ab]", "/"),
        ("/a(?:b)", "/a"),
        ("/ab{2}", "/a"),
    ],
)
def test_what_all_paths_of_a_regex_begin_with(regex: str, prefix: str) -> None:
    assert literal_prefix(regex) == prefix


@given(st.data())
def test_every_path_that_a_regex_matches_begins_with_its_prefix(data: st.DataObject) -> None:
    regex = data.draw(
        st.lists(
            st.sampled_from(["a", "b", r"\.", r"\d", "[ab]", "(?:ab)", "(a|b)", "*", "?", "{1,2}"]),
            max_size=6,
        ).map(lambda parts: "/" + "".join(parts))
    )
    try:
        normal = normal_regex(regex)
    except ValueError:
        return
    path = data.draw(st.from_regex(re.compile(normal, re.ASCII), fullmatch=True))
    assert path.startswith(literal_prefix(normal))
