"""What the route table and the registry say of logged requests, as they were at each one's time.

The winner is that of ``monitoring.routes.match``: one list in the table's order, of all routes that
were in force at some time of the range, each with its time; so a change costs one entry more. A
route that asks for what a log doesn't tell is passed over: for headers always, for a host or a
method where a line has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
from monitoring.registry.history import InstanceVersion, instances_between
from monitoring.routes.definition import RouteSpec
from monitoring.routes.history import RouteVersion, routes_between

from include.collectors.request_logs.mapping import HOST, below, quoted
from include.collectors.request_logs.settings import LogSource
from userdb.store import Store
from userdb.times import from_minute

#: As a gateway sees a path: decoded (as logged, where that is no text), without double slashes
#: and dot segments.
_DECODED = "regexp_replace(coalesce(try(url_decode(path)), path), '/+', '/', 'g')"
_WITHOUT_DOTS = f"""CASE WHEN contains({_DECODED}, '/.') THEN
    list_reduce(
        string_split({_DECODED}, '/'),
        lambda done, part: CASE part
            WHEN '..' THEN regexp_replace(done, '/[^/]*$', '')
            WHEN '.' THEN done
            WHEN '' THEN done
            ELSE done || '/' || part END
    ) || CASE WHEN regexp_matches({_DECODED}, '/\\.{{0,2}}$') THEN '/' ELSE '' END
    ELSE {_DECODED} END"""
_PATH = f"CASE WHEN regexp_matches(path, '%|//|/\\.') THEN {_WITHOUT_DOTS} ELSE path END"


@dataclass(frozen=True)
class Lookup:
    """The routes, in the table's order, and the instances of a range of time."""

    routes: tuple[RouteVersion, ...] = ()
    instances: tuple[InstanceVersion, ...] = ()

    @property
    def has_routes(self) -> bool:
        return bool(self.routes)

    @property
    def has_instances(self) -> bool:
        return bool(self.instances)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the table that ``looked_up`` joins."""
        if self.instances:
            connection.register("given_instances", _instance_table(self.instances))
            connection.execute("CREATE TABLE registered AS FROM given_instances")
            connection.unregister("given_instances")

    def looked_up(self, table: str, host: str | None) -> str:
        """The rows of ``table`` with the columns ``table_route``, ``table_service``,
        ``registered_instance`` and ``registered_service``; null where nothing is known.

        Args:
            host: of requests whose line names none.
        """
        if not self.routes and not self.instances:
            return table
        found = table
        if self.routes:
            asked = HOST if host is None else f"coalesce({HOST}, {quoted(host)})"
            found = f"""(
                SELECT * EXCLUDE (asked_host, asked_path, winner),
                       {_element([one.spec.name for one in self.routes])} AS table_route,
                       {_element([one.spec.service for one in self.routes])} AS table_service
                FROM (SELECT *, {_winner(self.routes)} AS winner
                      FROM (SELECT *, {asked} AS asked_host, {_PATH} AS asked_path FROM {table}))
            )"""
        if self.instances:
            found = f"""(
                SELECT asked.*, registered.instance_id AS registered_instance,
                       registered.service AS registered_service
                FROM {found} AS asked LEFT JOIN registered
                  ON lower(asked.instance) = registered.endpoint
                 AND asked.at_us >= registered.begins AND asked.at_us < registered.ends
            )"""
        return found


NOTHING = Lookup()


def read_lookup(store: Store, source: LogSource, low_us: int, high_us: int) -> Lookup:
    """What ``source`` wants to look up for its requests of [low_us, high_us)."""
    start, end = from_minute(low_us // 60_000_000), from_minute(-(-high_us // 60_000_000))
    with store.read() as connection:
        return Lookup(
            tuple(routes_between(connection, start, end)) if source.route.table else (),
            tuple(instances_between(connection, start, end)) if source.instance.registry else (),
        )


def _element(texts: Iterable[str]) -> str:
    return f"list_extract([{', '.join(map(quoted, texts))}], winner)"


def _winner(routes: Iterable[RouteVersion]) -> str:
    """An expression for the number, from 1, of the first route that matches."""
    cases = []
    for number, one in enumerate(routes, 1):
        if one.spec.headers:
            continue
        conditions = [*_in_force(one.begins, one.ends), *_conditions(one.spec)]
        cases.append(f"WHEN {' AND '.join(conditions)} THEN {number}")
    # a request of which the log tells no path can't be told a route
    return f"CASE WHEN asked_path IS NULL THEN NULL {' '.join(cases)} END"


def _in_force(begins: datetime | None, ends: datetime | None) -> list[str]:
    conditions = []
    if begins is not None:
        conditions.append(f"at_us >= {_us(begins)}")
    if ends is not None:
        conditions.append(f"at_us < {_us(ends)}")
    return conditions


def _conditions(spec: RouteSpec) -> list[str]:
    """Those of ``monitoring.routes.match.matches``, but for headers."""
    conditions = []
    if spec.hosts:
        exact = [host for host in spec.hosts if not host.startswith("*.")]
        wild = [host[2:] for host in spec.hosts if host.startswith("*.")]
        either = [
            f"{column} IN ({', '.join(map(quoted, names))})"
            for column, names in (
                ("asked_host", exact),
                ("regexp_extract(asked_host, '^[^.]+\\.(.*)$', 1, 's')", wild),
            )
            if names
        ]
        conditions.append(f"({' OR '.join(either)})")
    if spec.methods:
        conditions.append(f"method IN ({', '.join(map(quoted, spec.methods))})")
    if spec.path_type == "regex":
        conditions.append(f"regexp_full_match(asked_path, {quoted(spec.path)})")
    elif spec.path_type == "exact":
        conditions.append(f"asked_path = {quoted(spec.path)}")
    else:
        conditions.append(below(spec.path, "asked_path"))
    return conditions


def _instance_table(instances: Iterable[InstanceVersion]) -> pa.Table:
    """One row an endpoint and time: a join with more would count requests twice."""
    by_endpoint: dict[str, list[tuple[int, int, InstanceVersion]]] = {}
    for one in instances:
        begins = -(1 << 62) if one.begins is None else _us(one.begins)
        ends = 1 << 62 if one.ends is None else _us(one.ends)
        by_endpoint.setdefault(one.endpoint, []).append((begins, ends, one))
    rows = []
    for endpoint, spans in by_endpoint.items():
        spans.sort(key=lambda span: (span[0], span[1], span[2].service, span[2].instance_id))
        # who registered later has the address
        stops = [*(begins for begins, _, _ in spans[1:]), 1 << 62]
        rows += [
            (endpoint, begins, min(ends, stop), one.instance_id, one.service)
            for (begins, ends, one), stop in zip(spans, stops, strict=True)
        ]
    names = ("endpoint", "begins", "ends", "instance_id", "service")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
