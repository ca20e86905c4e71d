"""The SQL that takes a block of lines apart, and counts it, in DuckDB."""

from __future__ import annotations

from itertools import pairwise

from include.collectors.request_logs.formats import FIELDS, LogFormat
from include.collectors.request_logs.lookup import NOTHING, Lookup
from include.collectors.request_logs.mapping import quoted, route_sql, service_sql
from include.collectors.request_logs.outcome import outcome_sql, told_sql
from include.collectors.request_logs.settings import LogSource
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.models.requests import OUTCOMES

#: Times that a log can't have: they are garbage that looks like a time (1990 and 2100).
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 4_102_444_800_000_000
#: More is garbage, and would overflow the sums of a minute (11 days, 4 TiB).
_LONGEST_MS, _LARGEST = 1e9, 1 << 42
#: As long as their columns in request_log.
_LENGTHS = {
    "client": 64,
    "method": 32,
    "host": 255,
    "path": 2048,
    "user": 255,
    "user_agent": 512,
    "request_id": 128,
    "service": 255,
    "route": 255,
    "instance": 255,
}
_KEYS = ("minute", "service", "route", "instance")
#: What request_minute counts, by how it is counted.
SUMS = ("requests", *OUTCOMES, "bytes_sent", "latency_count", "latency_us", *LATENCY_COLUMNS)
#: Why a line that is of the format, and tells of no request, is no row; it is not refused.
_OTHER = "tells of no request"

#: Conditions on rows of ``parsed``: a request; a line that tells of none; a refused one.
TAKEN = "why IS NULL"
OTHER = f"why = '{_OTHER}'"


def refused(log_format: LogFormat) -> str:
    return "why IS NOT NULL" if log_format.other is None else f"why <> '{_OTHER}'"


def is_timed(log_format: LogFormat) -> str:
    """The condition of lines that have a time: requests, and lines that tell of none but have."""
    if log_format.other is None:
        return TAKEN
    timed = f"at_us BETWEEN {_EARLIEST_US} AND {_LATEST_US}"
    return f"({TAKEN} OR ({OTHER} AND {timed}))"


def parse_sql(log_format: LogFormat, source: LogSource, lookup: Lookup = NOTHING) -> str:
    """Make ``parsed`` of ``block``: a row a line, with ``why`` and ``line`` if it is no request."""
    by_table = lookup.has_routes
    by_registry = lookup.has_instances
    services = ["table_service"] * by_table + ["registered_service"] * by_registry
    route = route_sql(source.route, ["table_route"] * by_table)
    extra = [*services, *["table_route"] * by_table, *["registered_instance"] * by_registry]
    instance = (
        ", left(coalesce(registered_instance, instance), 255) AS instance" if by_registry else ""
    )
    fields = log_format.fields
    columns = [
        f'CAST({fields[name]} AS {kind}) AS "{name}"'
        if name in fields
        else f'CAST(NULL AS {kind}) AS "{name}"'
        for name, kind in FIELDS.items()
    ]
    texts = [
        f"left(replace(nullif(nullif(\"{name}\", ''), '-'), chr(0), '\ufffd'), {length})"
        f' AS "{name}"'
        for name, length in _LENGTHS.items()
    ]
    dropped = ", ".join(["refused", "other", "told", "told_by", *extra])
    return f"""
        CREATE OR REPLACE TEMP TABLE parsed AS
        WITH {records_sql(log_format)}, fields AS (
            SELECT byte_offset, line, record IS NULL AS refused, {_is_other(log_format)} AS other,
                   {told_sql(log_format)}, {", ".join(columns)}
            FROM records
        ), texts AS (
            SELECT byte_offset, line, refused, other, told, told_by,
                   epoch_us(occurred_at) AS at_us, status,
                   CASE WHEN duration_ms >= 0 AND duration_ms <= {_LONGEST_MS} THEN duration_ms END
                       AS duration_ms,
                   CASE WHEN bytes_sent BETWEEN 0 AND {_LARGEST} THEN bytes_sent END AS bytes_sent,
                   {", ".join(texts)}
            FROM fields
        )
        SELECT * REPLACE (CASE WHEN why IS NOT NULL THEN line END AS line) FROM (
            SELECT * EXCLUDE ({dropped}) REPLACE (
                       left({service_sql(source.service, services)}, 255) AS service,
                       left({route}, 255) AS route{instance}
                   ),
                   at_us // 60000000 AS minute,
                   {outcome_sql(log_format)},
                   {_why(log_format)} AS why
            FROM {lookup.looked_up("texts", source.route.host)}
        )
    """


def times_sql(log_format: LogFormat, aggregate: str) -> str:
    """``aggregate`` of ``at_us`` and ``byte_offset`` over the lines of ``block`` that have a time.

    It reads no more than that needs: planning costs more than running. And it filters in the
    aggregate, as DuckDB would write the expressions of what they come from into a WHERE.
    """
    fields = log_format.fields
    return f"""
        WITH {records_sql(log_format)}, fields AS (
            SELECT byte_offset, line, record IS NULL AS refused, {_is_other(log_format)} AS other,
                   {told_sql(log_format)},
                   epoch_us({fields["occurred_at"]}) AS at_us,
                   CAST({fields.get("status", "NULL")} AS INTEGER) AS status
            FROM records
        )
        SELECT {aggregate} FILTER ({is_timed(log_format)})
        FROM (SELECT byte_offset, at_us, {_why(log_format)} AS why FROM fields)
    """


def records_sql(log_format: LogFormat) -> str:
    """The table ``records`` of a query over ``block``: what a format's expressions are over."""
    values = [f"{value} AS value_{number}" for number, value in enumerate(log_format.values, 1)]
    read = f"SELECT byte_offset, line, {log_format.record} AS record FROM block"
    return f"records AS (SELECT {', '.join(['*', *values])} FROM ({read}))"


def _is_other(log_format: LogFormat) -> str:
    return "false" if log_format.other is None else f"coalesce({log_format.other}, false)"


def _why(log_format: LogFormat) -> str:
    """An expression for why a line is no request; null for one that is."""
    no_status = "status IS NULL" if not log_format.verdicts else "status IS NULL AND told IS NULL"
    # trim takes longer than all the rest: only of lines that are no record, as empty ones are
    return f"""CASE
        WHEN refused THEN CASE WHEN trim(line, chr(10) || chr(13) || ' ') = '' THEN 'is empty'
                               ELSE {quoted(log_format.refusal)} END
        WHEN other THEN '{_OTHER}'
        WHEN at_us IS NULL THEN 'has no time'
        WHEN at_us NOT BETWEEN {_EARLIEST_US} AND {_LATEST_US} THEN 'has a time out of range'
        WHEN {no_status} THEN 'has no status'
        WHEN status NOT BETWEEN 0 AND 999 THEN 'has a status out of range'
        END"""


def within(low_us: int, high_us: int) -> str:
    return f"{TAKEN} AND at_us >= {low_us} AND at_us < {high_us}"


def part_sql(low_us: int, high_us: int) -> str:
    """Counts per minute and labels of the requests in [low_us, high_us)."""
    outcomes = [f"count(*) FILTER (outcome = '{name}') AS {name}" for name in OUTCOMES]
    bounds: list[float] = [float("-inf"), *LATENCY_BOUNDS_MS, float("inf")]
    buckets = [
        f"count(*) FILTER (duration_ms > '{below}'::DOUBLE"
        f" AND duration_ms <= '{bound}'::DOUBLE) AS {name}"
        for name, (below, bound) in zip(LATENCY_COLUMNS, pairwise(bounds), strict=True)
    ]
    return f"""
        SELECT {", ".join(_KEYS)}, count(*) AS requests, {", ".join(outcomes)},
               coalesce(sum(bytes_sent), 0)::BIGINT AS bytes_sent,
               count(duration_ms) AS latency_count,
               -- whole microseconds: a sum of floats depends on the order of its terms
               coalesce(sum(round(duration_ms * 1000)::BIGINT), 0)::BIGINT AS latency_us,
               max(duration_ms) AS latency_max_ms, {", ".join(buckets)}
        FROM parsed WHERE {within(low_us, high_us)}
        GROUP BY ALL
    """
