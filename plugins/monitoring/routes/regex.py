"""Regular expressions that mean the same to Python, to nginx (PCRE) and to Traefik (RE2). Pure.

Only what the three read alike is taken: literals, ``.``, classes, ``|``, groups, ``(?:`` ones too,
``* + ? {n} {n,} {n,m}`` and their lazy kind, ``\\d \\w \\s \\D \\W \\S``, escaped punctuation.
An expression matches a whole path, so that ``^`` and ``$`` say nothing: at its ends they are
dropped, elsewhere refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_TOKEN = re.compile(
    r"""
    (?P<escape>\\.)
    | (?P<class>\[\^?(?:\\.|[^\]\\\[])+\])
    | (?P<group>\((?:\?:|(?!\?)))
    | (?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\})\??)
    | (?P<other>[.|)])
    | (?P<literal>[^\\\[\](){}*+?^$|.`])
    """,
    re.VERBOSE,
)
_CLASSES = frozenset("dwsDWS")
#: RE2 repeats no more often.
_MOST = 1000


def normal_regex(text: str) -> str:
    """``text`` without anchors at its ends.

    Raises:
        ValueError: it is no regular expression, or some gateway would read it otherwise.
    """
    bare = text.removeprefix("^")
    if bare.endswith("$") and (len(bare) - len(bare[:-1].rstrip("\\"))) % 2:
        bare = bare[:-1]
    if not re.fullmatch(r"[!-_a-~]+", bare):
        raise ValueError(
            "a regular expression is of printable ASCII characters, without blanks and backticks"
        )
    for kind, token in _tokens(bare):
        if kind == "escape" and token[1].isalnum() and token[1] not in _CLASSES:
            raise ValueError(f"{token} is not the same to every gateway: leave it out")
        if kind == "class":
            _require_class(token)
        if kind == "repeat" and any(int(number) > _MOST for number in re.findall(r"\d+", token)):
            raise ValueError(f"{token} repeats more than {_MOST} times")
    try:
        re.compile(bare, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    _require_re2(bare)
    return bare


def literal_prefix(regex: str) -> str:
    """What every path that a normal ``regex`` matches begins with; may be empty."""
    if "|" in regex:
        return ""
    prefix = ""
    for kind, token in _tokens(regex):
        if kind == "literal":
            prefix += token
        elif kind == "escape" and not token[1].isalnum():
            prefix += token[1]
        elif kind == "repeat":
            # what it repeats may be absent
            return prefix[:-1]
        else:
            break
    return prefix


def _tokens(regex: str) -> Iterator[tuple[str, str]]:
    at = 0
    repeated = False
    while at < len(regex):
        match = _TOKEN.match(regex, at)
        if match is None:
            raise ValueError(
                f"{regex[at : at + 4]!r} at {at}: gateways don't all take this here; escape it, or "
                "leave it out"
            )
        kind = match.lastgroup or ""
        if kind == "repeat" and repeated:
            raise ValueError(f"{match[0]!r} at {at} repeats a repetition")
        repeated = kind == "repeat"
        yield kind, match[0]
        at = match.end()


def _require_class(token: str) -> None:
    inner = token[1:-1].removeprefix("^")
    for escape in re.findall(r"\\(.)", inner):
        if escape.isalnum() and escape not in _CLASSES:
            raise ValueError(f"\\{escape} in {token} is not the same to every gateway")
    # set operations of some dialects
    if re.search(r"--|&&|~~|\|\|", inner):
        raise ValueError(f"{token}: -- && ~~ and || are not the same to every gateway")


@lru_cache(maxsize=1024)
def _require_re2(regex: str) -> None:
    """RE2 is what Traefik's Go has, and what DuckDB brings along."""
    import duckdb

    # a cursor of its own for each thread
    with _database().cursor() as cursor:
        try:
            cursor.execute("SELECT regexp_full_match('/', ?)", [regex]).fetchall()
        except duckdb.Error as error:
            raise ValueError(f"not a regular expression of RE2: {error}") from None


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:")
