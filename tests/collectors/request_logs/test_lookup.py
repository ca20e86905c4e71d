"""Routes and instances of logged requests are those that were in force when they were made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.registry.definition import Registration
from monitoring.registry.history import InstanceVersion
from monitoring.registry.registration import deregister, register
from monitoring.registry.services import delete_service
from monitoring.routes.definition import RouteSpec
from monitoring.routes.history import RouteVersion
from monitoring.routes.match import RequestLine, in_order, winner
from monitoring.routes.table import create_route, delete_route, patched, replace_route

from include.collectors.request_logs.lookup import Lookup
from tests.collectors.request_logs import gateway_log as log
from tests.monitoring.routes.tables import requests, tables
from userdb.store import Store


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE texts (number INT, at_us BIGINT, host VARCHAR, method VARCHAR, "
            "path VARCHAR, instance VARCHAR)"
        )
        yield connection


def _looked_up(
    database: duckdb.DuckDBPyConnection, lookup: Lookup, asked: list[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    database.execute("TRUNCATE texts")
    rows = [(number, *one) for number, one in enumerate(asked)]
    database.executemany("INSERT INTO texts VALUES (?, ?, ?, ?, ?, ?)", rows)
    names = ["table_route", "table_service"] * lookup.has_routes
    names += ["registered_instance", "registered_service"] * lookup.has_instances
    if not names:
        return [() for _ in asked]
    return database.execute(
        f"SELECT {', '.join(names)} FROM {lookup.looked_up('texts', None)} ORDER BY number"
    ).fetchall()


def _at(minutes: float) -> datetime:
    return log.at(minutes)


def _us(minutes: float) -> int:
    return round(_at(minutes).timestamp() * 1_000_000)


_TIMES = st.sampled_from([None, 1, 2, 3])


@settings(max_examples=80, deadline=None)
@given(
    table=tables(),
    times=st.lists(st.tuples(_TIMES, _TIMES), min_size=8, max_size=8),
    asked=st.lists(st.tuples(requests, st.sampled_from([0, 1, 1.5, 2, 3])), min_size=8, max_size=8),
)
def test_the_winner_is_that_of_the_table_of_the_time(
    table: list[RouteSpec],
    times: list[tuple[int | None, int | None]],
    asked: list[tuple[RequestLine, float]],
    database: duckdb.DuckDBPyConnection,
) -> None:
    """As the gateway's, but for routes that ask for headers, which no log tells."""
    spans = {one.name: times[at] for at, one in enumerate(table)}
    versions = [
        RouteVersion(one, *(None if at is None else _at(at) for at in spans[one.name]))
        for one in in_order(table)
    ]
    found = _looked_up(
        database,
        Lookup(tuple(versions)),
        [
            (_us(at), f"{one.host.upper()}:8443", one.method, quote(one.path), None)
            for one, at in asked
        ],
    )
    for (request, at), row in zip(asked, found, strict=True):
        then = [
            one
            for one in table
            if not one.headers
            and (spans[one.name][0] or -1) <= at
            and (spans[one.name][1] is None or at < (spans[one.name][1] or 0))
        ]
        won = winner(then, request)
        if row:
            assert row[0] == (None if won is None else won.name)
            assert row[1] == (None if won is None else won.service)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/sim//1", "/sim/1"),
        ("/other/../sim/1", "/sim/1"),
        ("/sim/./1", "/sim/1"),
        ("/sim/1/..", "/sim/"),
        ("/sim/..", "/"),
        ("/%73im%2F1", "/sim/1"),
        ("/sim/%ff", "/sim/%ff"),
        ("/sim/.hidden", "/sim/.hidden"),
        ("/sim/a..b", "/sim/a..b"),
    ],
)
def test_a_path_is_matched_as_the_gateway_sees_it(
    path: str, seen: str, database: duckdb.DuckDBPyConnection
) -> None:
    exact = RouteSpec(name="seen", path_type="exact", path="/", service="sim")
    exact = exact.model_copy(update={"path": seen})
    lookup = Lookup((RouteVersion(exact, None, None),))
    assert _looked_up(database, lookup, [(0, "a", "GET", path, None)]) == [("seen", "sim")]


def test_what_a_log_does_not_tell_is_no_reason_to_match(
    database: duckdb.DuckDBPyConnection,
) -> None:
    def route(name: str, **given: Any) -> RouteVersion:
        return RouteVersion(RouteSpec(name=name, service="sim", **given), None, None)

    lookup = Lookup((route("named", hosts=["a.example"]), route("posted", methods=["POST"])))
    asked = [
        (0, None, "GET", "/", None),
        (0, "a.example", None, "/", None),
        (0, "b", None, "/", ""),
    ]
    assert [row[0] for row in _looked_up(database, lookup, asked)] == [None, "named", None]
    assert _looked_up(database, lookup, [(0, "a.example", "GET", None, None)]) == [(None, None)]


def test_an_address_is_its_holders_at_the_time_and_no_request_is_counted_twice(
    database: duckdb.DuckDBPyConnection,
) -> None:
    def instance(name: str, begins: float | None, ends: float | None) -> InstanceVersion:
        return InstanceVersion(
            "10.0.0.7:80",
            f"service-{name}",
            name,
            None if begins is None else _at(begins),
            None if ends is None else _at(ends),
        )

    # the clocks of two servers: for a while both seem to have it
    lookup = Lookup(
        instances=(instance("b", 2, 4), instance("a", None, 2.5), instance("c", 4, None))
    )
    lookup.prepare(database)
    asked = [
        *((_us(at), None, None, None, "10.0.0.7:80") for at in (0, 2, 2.2, 3.9, 4, 9)),
        (_us(1), None, None, None, "10.0.0.8:80"),
        (_us(1), None, None, None, None),
    ]
    found = _looked_up(database, lookup, asked)
    assert [row[0] for row in found] == ["a", "b", "b", "b", "c", "c", None, None]
    assert found[0][1] == "service-a"


class _Chain:
    """A gateway's log, and the registry and table that somebody changes meanwhile."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self._routes: dict[str, str] = {}
        self._instances: dict[str, str] = {}

    def add(self, minute: float, name: str, service: str, **given: Any) -> None:
        spec = RouteSpec(name=name, service=service, **given)
        made, _ = create_route(self.store, spec, by="test", now=_at(minute))
        self._routes[name] = made.id

    def change(self, minute: float, name: str, /, **given: Any) -> None:
        change = patched(given)
        replace_route(self.store, self._routes[name], change, by="test", now=_at(minute))

    def remove(self, minute: float, name: str) -> None:
        delete_route(self.store, self._routes[name], by="test", now=_at(minute))

    def enrol(self, minute: float, name: str, address: str, service: str = "sim") -> None:
        asked = Registration(
            service=service, instance_id=name, address=address, port=80, ttl_s=3600
        )
        found = register(self.store, asked, by="test", now=_at(minute))
        self._instances[name] = found.instance.id

    def leave(self, minute: float, name: str) -> None:
        deregister(self.store, self._instances[name], by="test", now=_at(minute))

    def collect(self, **source: Any) -> dict[str, list[dict[str, Any]]]:
        assert log.collect(self.store, log.settings(self.folder, **source), 0, 10).ok
        return log.contents(self.store)


def test_an_old_range_is_the_same_after_table_and_registry_changed(
    store: Store, tmp_path: Path
) -> None:
    chain = _Chain(store, tmp_path)
    (tmp_path / "access.log").write_bytes(
        log.lines([-10.5, *(minute + 0.5 for minute in range(10))], path="/api/items/17")
    )
    chain.enrol(-60, "one", "10.1.0.2")
    chain.enrol(-60, "spare", "10.1.0.9", service="idle")
    chain.add(1, "api", "sim", path="/api")
    chain.change(3, "api", name="items")
    chain.add(4, "all", "sim")
    chain.change(5, "api", enabled=False)
    chain.remove(6, "all")
    chain.leave(7, "one")
    chain.enrol(8, "two", "10.1.0.2")
    before = chain.collect(route={"template": False})
    ordered = [row for row in before["raw"] if row["occurred_at"] >= _at(0)]
    assert [row["route"] for row in ordered] == [
        *(None, "api", "api", "items", "items", "all", None, None, None, None)
    ]
    assert [row["instance"] for row in ordered] == [*["one"] * 7, "10.1.0.2:80", "two", "two"]
    # of the route's service, else of the instance's
    assert [row["service"] for row in ordered] == [*["sim"] * 7, None, "sim", "sim"]

    chain.add(20, "new", "sim", path="/api/items", priority=9)
    chain.change(21, "api", enabled=True, path="/")
    chain.leave(22, "two")
    chain.enrol(23, "three", "10.1.0.2")
    delete_service(store, "idle", by="test", now=_at(24))
    assert chain.collect(route={"template": False}) == before
    # and what was deleted with its service was there before
    (tmp_path / "access.log").unlink()
    (tmp_path / "access.log-other").write_bytes(
        log.Line(1).json().replace(b"10.1.0.2:80", b"10.1.0.9:80")
    )
    assert "spare" in {row["instance"] for row in chain.collect()["raw"]}


def test_rules_and_the_log_itself_come_before_the_table_and_paths_after_it(
    sqlite_store: Store, tmp_path: Path
) -> None:
    chain = _Chain(sqlite_store, tmp_path)
    chain.enrol(-60, "one", "10.1.0.2")
    chain.add(-60, "api", "sim", path="/api", hosts=["gw.example.org"])
    named = log.Line(0, path="/api/2").json().replace(b'"request_id"', b'"route": "own", "x"')
    (tmp_path / "access.log").write_bytes(
        log.lines([-20])
        + log.lines([0], path="/api/rule")
        + named
        + log.lines([0], path="/api/3")
        + log.lines([0], path="/other/4")
    )
    rules = {"rules": [{"prefix": "/api/rule", "name": "rule"}]}

    def found(column: str = "route", **source: Any) -> list[Any]:
        return [row[column] for row in chain.collect(**source)["raw"]]

    assert found(route=rules) == ["rule", "own", "api", "/other/{id}"]
    assert found(route={**rules, "table": False}) == ["rule", "own", "/api/{id}", "/other/{id}"]
    assert set(found("instance")) == {"one"}
    assert set(found("instance", instance={"registry": False})) == {"10.1.0.2:80"}
    assert found("service", service="shop") == ["shop"] * 4
    assert found("service") == ["sim"] * 4


def test_a_source_may_say_which_host_its_log_is_of(sqlite_store: Store, tmp_path: Path) -> None:
    chain = _Chain(sqlite_store, tmp_path)
    chain.enrol(-60, "one", "10.1.0.2")
    chain.add(-60, "api", "sim", path="/api", hosts=["gw.example.org"])
    line = log.Line(1).combined()
    (tmp_path / "access.log").write_bytes(log.Line(-20).combined() + line)
    combined = {"format": "nginx_combined"}
    assert chain.collect(**combined)["raw"][-1]["route"] == "/api/items/{id}"
    said = chain.collect(**combined, route={"host": "GW.example.org"})
    assert (said["raw"][-1]["route"], said["raw"][-1]["host"]) == ("api", None)
