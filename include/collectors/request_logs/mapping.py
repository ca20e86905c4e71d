"""Service and route of a request, as DuckDB expressions over its normalised fields."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from include.collectors.request_logs.settings import LogSource, RouteMapping, ServiceMapping
from userdb.errors import ConfigError

#: The host that was asked for, in lower case and without port.
HOST = "regexp_replace(lower(host), ':\\d+$', '')"
#: Segments of a path that are ids: numbers, dates and times, IPv4 addresses, UUIDs, ULIDs,
#: hexadecimal digits from 16 on, mail addresses, JSON web tokens.
_IDS = "|".join(
    (
        "\\d+",
        "\\d{4}-\\d{2}(?:-\\d{2}(?:[T_][0-9:.%A-F]+Z?)?)?",
        "\\d{1,3}(?:\\.\\d{1,3}){3}",
        "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
        "[0-7][0-9A-HJKMNP-TV-Z]{25}",
        "[0-9a-fA-F]{16,}",
        "[^/@]+(?:@|%40)[^/@]+\\.[^/@]+",
        "eyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*",
    )
)
_ID = f"/(?:{_IDS})(/|$)"
#: What else is long and has a digit: random letters and digits; with dashes in it, where capitals
#: tell it from the title of a page.
_TOKEN = """regexp_matches(part, '[0-9]') AND (
    regexp_full_match(part, '[A-Za-z0-9]{20,}=*') OR (
        regexp_full_match(part, '[A-Za-z0-9_-]{20,}=*')
        AND regexp_matches(part, '[A-Z]') AND regexp_matches(part, '[a-z]')
    ))"""


#: A path whose segments are numbers, and words that no id looks like: most are, and so found fast.
_PLAIN = r"^(?:/(?:[A-Za-z_-][\w-]{0,14}|\d+))*/?$"


def quoted(text: str) -> str:
    """``text`` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def below(prefix: str, path: str = "path") -> str:
    """A condition: the expression ``path`` is ``prefix``, or lies below it."""
    bare = prefix.rstrip("/")
    if not bare:
        return f"starts_with({path}, '/')"
    return f"({path} = {quoted(bare)} OR starts_with({path}, {quoted(bare + '/')}))"


def service_sql(mapping: ServiceMapping, looked_up: Sequence[str] = ()) -> str:
    """An expression for the service: text or null.

    Args:
        looked_up: columns that say it where the mapping and the log don't, the first first.
    """
    parts = []
    cases = []
    for rule in mapping.rules:
        conditions = []
        if rule.host is not None:
            conditions.append(f"{HOST} GLOB {quoted(rule.host.lower())}")
        if rule.prefix is not None:
            conditions.append(below(rule.prefix))
        cases.append(f"WHEN {' AND '.join(conditions)} THEN {quoted(rule.name)}")
    if cases:
        parts.append(f"CASE {' '.join(cases)} END")
    if mapping.field is not None:
        parts.append(HOST if mapping.field == "host" else mapping.field)
    elif mapping.name is None:
        # a gateway that names services in its log is believed without being told to
        parts.append("service")
    if mapping.name is not None:
        parts.append(quoted(mapping.name))
    return f"coalesce({', '.join([*parts, *looked_up])}, NULL)"


def route_sql(mapping: RouteMapping, looked_up: Sequence[str] = ()) -> str:
    """An expression for the route: text or null.

    Args:
        looked_up: columns that say it where rules and the log don't, before the path does.
    """
    cases = [
        f"WHEN {below(rule.prefix)} THEN {quoted(rule.name)}"
        if rule.prefix is not None
        else f"WHEN regexp_matches(path, {quoted(rule.regex or '')}) THEN {quoted(rule.name)}"
        for rule in mapping.rules
    ]
    parts = [f"CASE {' '.join(cases)} END"] if cases else []
    parts += ["route", *looked_up]
    if mapping.template:
        parts.append(template_sql("path"))
    return f"coalesce({', '.join(parts)}, NULL)"


def template_sql(path: str) -> str:
    """An expression for ``path`` with every segment that is an id written as ``{id}``."""
    # twice: ids in a row share their slash, and RE2 has no lookahead
    once = f"regexp_replace({path}, '{_ID}', '/{{id}}\\1', 'g')"
    twice = f"regexp_replace({once}, '{_ID}', '/{{id}}\\1', 'g')"
    tokens = f"""CASE WHEN regexp_matches({path}, '[\\w-]{{20}}') THEN array_to_string(
        list_transform(
            string_split({twice}, '/'), lambda part: CASE WHEN {_TOKEN} THEN '{{id}}' ELSE part END
        ), '/') ELSE {twice} END"""
    return (
        f"CASE WHEN regexp_matches({path}, '{_PLAIN}') "
        f"THEN regexp_replace({path}, '/\\d+', '/{{id}}', 'g') ELSE {tokens} END"
    )


def require_valid(source: LogSource, connection: duckdb.DuckDBPyConnection) -> None:
    """Try the mapping's expressions: RE2 takes less than Python's ``re``.

    Raises:
        ConfigError: a regular expression is not valid.
    """
    for rule in source.route.rules:
        if rule.regex is None:
            continue
        try:
            connection.execute("SELECT regexp_matches('', ?)", [rule.regex]).fetchall()
        except duckdb.Error as cause:
            raise ConfigError(
                f"request_logs source {source.name!r}: route {rule.name!r}: the regex "
                f"{rule.regex!r} is not valid in RE2 syntax (no lookaround): {cause}"
            ) from None
