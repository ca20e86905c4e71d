"""What gateways are told is the table's own order."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.gateway import nginx, traefik
from monitoring.gateway.snapshot import Server, Snapshot, Upstream, resolved
from monitoring.registry.definition import HealthCheck
from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import RequestLine, in_order, winner

from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT
from tests.monitoring.routes.tables import requests, tables
from userdb.errors import ConfigError


def route(name: str = "api", **given: Any) -> RouteSpec:
    return RouteSpec.model_validate({"name": name, "service": "sim", **given})


def snapshot(*routes: RouteSpec, **upstreams: Upstream) -> Snapshot:
    return Snapshot(tuple(in_order(routes)), upstreams)


def by_nginx(table: list[RouteSpec], request: RequestLine) -> str | None:
    """The winner by the map that nginx is given, read as PCRE reads it."""
    headers = sorted({pair for one in table for pair in one.headers.items()})
    flags = "".join(str(int(request.headers.get(name) == value)) for name, value in headers)
    line = "\n".join((request.method, request.host, flags, request.path))
    for pattern, name in nginx.route_patterns(in_order(table), headers):
        if re.search(pattern.replace("\\z", "\\Z"), line, re.ASCII):
            return name
    return None


class _Matchers:
    """Traefik's matchers, as its documentation has them."""

    def __init__(self, request: RequestLine) -> None:
        self.names = {
            "Host": lambda host: request.host == host,
            "HostRegexp": lambda regex: self._found(regex, request.host),
            "Path": lambda path: request.path == path,
            "PathPrefix": request.path.startswith,
            "PathRegexp": lambda regex: self._found(regex, request.path),
            "Method": lambda method: request.method == method,
            "Header": lambda name, value: request.headers.get(name) == value,
        }

    @staticmethod
    def _found(regex: str, text: str) -> bool:
        # Go's $ is the very end of the text
        assert regex.endswith("$")
        return re.search(regex[:-1] + r"\Z", text, re.ASCII) is not None

    def holds(self, rule: str) -> bool:
        expression = re.sub(r"`([^`]*)`", lambda found: repr(found[1]), rule)
        expression = expression.replace("&&", "and").replace("||", "or")
        return bool(eval(expression, {"__builtins__": {}}, self.names))


def by_traefik(table: list[RouteSpec], request: RequestLine) -> str | None:
    """The winner by the highest priority among the routers whose rule holds."""
    document = json.loads(traefik.render(snapshot(*table)))
    routers = document.get("http", {}).get("routers", {})
    matchers = _Matchers(request)
    held = {
        router["priority"]: name
        for name, router in routers.items()
        if matchers.holds(router["rule"])
    }
    assert 0 not in held
    return held[max(held)] if held else None


@settings(max_examples=150)
@given(tables(), requests)
def test_nginx_and_traefik_are_told_the_winner_that_the_table_has(
    table: list[RouteSpec], request: RequestLine
) -> None:
    expected = winner(table, request)
    name = None if expected is None else expected.name
    assert by_nginx(table, request) == name
    assert by_traefik(table, request) == name


@given(tables(), st.integers())
def test_the_same_table_is_the_same_bytes(table: list[RouteSpec], seed: int) -> None:
    shuffled = random.Random(seed).sample(table, len(table))
    assert traefik.render(snapshot(*table)) == traefik.render(snapshot(*shuffled))
    first, second = (
        nginx.render(snapshot(*rows), log_format=LOG_FORMAT) for rows in (table, shuffled)
    )
    assert first == second


def _maps(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [data, *(found for value in data.values() for found in _maps(value))]
    if isinstance(data, list):
        return [data, *(found for value in data for found in _maps(value))]
    return []


@given(tables())
def test_traefik_never_gets_an_empty_map_or_list(table: list[RouteSpec]) -> None:
    text = traefik.render(snapshot(*table))
    if table:
        assert all(_maps(json.loads(text)))
    else:
        assert text == b"{}"


def test_what_traefik_is_told() -> None:
    check = HealthCheck(kind="http", path="/health")
    table = snapshot(
        route(hosts=["a.example", "*.example"], path="/api", strip_prefix=True, timeout_s=1.5),
        route("rest", methods=["GET"], headers={"x-v": "1"}, service="web"),
        sim=Upstream((Server("10.0.0.1", 80), Server("::1", 81)), check),
    )
    assert json.loads(traefik.render(table)) == {
        "http": {
            "routers": {
                "api": {
                    "rule": r"(HostRegexp(`^[^.]+\.example$`) || Host(`a.example`))"
                    " && (Path(`/api`) || PathPrefix(`/api/`))",
                    "priority": 2,
                    "service": "sim~1500ms",
                    "middlewares": ["api~strip"],
                },
                "rest": {
                    "rule": "PathPrefix(`/`) && Method(`GET`) && Header(`x-v`, `1`)",
                    "priority": 1,
                    "service": "web",
                },
            },
            "middlewares": {"api~strip": {"stripPrefix": {"prefixes": ["/api"]}}},
            "services": {
                "sim~1500ms": {
                    "loadBalancer": {
                        "servers": [{"url": "http://10.0.0.1:80"}, {"url": "http://[::1]:81"}],
                        "healthCheck": {"path": "/health", "timeout": "2s"},
                        "serversTransport": "timeout~1500ms",
                    }
                },
                "web": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}},
            },
            "serversTransports": {
                "timeout~1500ms": {
                    "forwardingTimeouts": {
                        "dialTimeout": "1500ms",
                        "responseHeaderTimeout": "1500ms",
                    }
                }
            },
        }
    }


def test_names_are_resolved_for_nginx_and_unknown_ones_left_out() -> None:
    def lookup(name: str) -> list[str]:
        if name != "sim-1.internal":
            raise OSError("unknown")
        return ["10.0.0.1", "10.0.0.2"]

    servers = (Server("10.0.0.2", 80), Server("sim-1.internal", 80), Server("sim-2.internal", 80))
    found, unknown = resolved(snapshot(route(), sim=Upstream(servers)), lookup)
    assert unknown == ["sim-2.internal"]
    assert found.upstreams["sim"].servers == (Server("10.0.0.1", 80), Server("10.0.0.2", 80))


@pytest.mark.parametrize(
    ("given", "word"),
    [({"listen": "80; }"}, "listen"), ({"access_log": "/a b"}, "access log")],
)
def test_words_that_would_break_nginx_configuration_are_refused(
    given: dict[str, str], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        nginx.render(snapshot(), log_format=LOG_FORMAT, **given)


def test_more_headers_than_nginx_takes_are_refused() -> None:
    many = [route(f"r{n}", headers={"x-v": str(n)}) for n in range(nginx.MAX_HEADERS + 1)]
    with pytest.raises(ConfigError, match="201 different headers"):
        nginx.render(snapshot(*many), log_format=LOG_FORMAT)
