"""Apache httpd's LogFormat strings (https://httpd.apache.org/docs/2.4/mod/mod_log_config.html)."""

from __future__ import annotations

import re

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.template import Variable, compile_template
from userdb.errors import ConfigError

_DIRECTIVE = re.compile(
    r"%(?:!?\d{3}(?:,\d{3})*)?[<>]?(?:\{(?P<argument>[^}]*)\})?[<>]?(?P<letter>\^?[A-Za-z%])"
)
#: A whole line of a configuration: the string, escaped, and a nickname.
_LINE = re.compile(r'^\s*LogFormat\s+"(?P<string>(?:[^"\\]|\\.)*)"(?:\s+\S+)?\s*$', re.S)

#: Letters whose values hold no blanks.
_SOLID = frozenset("aAbBDfIkmOpPsSTX")
#: Names of the values, as ``standard_fields`` knows them, by letter; %{c}a is a proxy's address.
_LETTERS = {
    "a": "client",
    "h": "client",
    "u": "user",
    "r": "request",
    "m": "method",
    "U": "target",
    "s": "status",
    "b": "bytes",
    "B": "bytes",
    "O": "bytes",
    "D": "duration_us",
    "T": "duration_s",
    "v": "host",
    "V": "host",
}
#: ... by letter and argument, which for headers is in any case.
_ARGUMENTS = {
    ("i", "user-agent"): "user_agent",
    ("i", "host"): "host",
    ("i", "x-request-id"): "request_id",
    ("o", "x-request-id"): "request_id",
    ("e", "unique_id"): "request_id",
    ("e", "balancer_worker_name"): "instance",
    ("T", "s"): "duration_s",
    ("T", "ms"): "duration_ms",
    ("T", "us"): "duration_us",
    ("t", "sec"): "time_s",
    ("t", "msec"): "time_ms",
    ("t", "usec"): "time_us",
}


def directive_string(text: str) -> str:
    """The format string of ``text``: itself, or what a line ``LogFormat "…" nickname`` holds."""
    found = _LINE.match(text)
    return re.sub(r'\\(["\\])', r"\1", found["string"]) if found else text


def compile_log_format(name: str, string: str, refusal: str) -> LogFormat:
    """The log format that a LogFormat string makes.

    Raises:
        ConfigError: it has no time or no status.
    """
    pieces: list[str | Variable] = []
    end = 0
    for found in _DIRECTIVE.finditer(string):
        if found.start() > end:
            pieces.append(string[end : found.start()])
        end = found.end()
        letter = found["letter"]
        pieces += ["%"] if letter == "%" else _variable(letter, found["argument"])
    if end < len(string):
        pieces.append(string[end:])
    record = compile_template(pieces)
    fields = standard_fields(record)
    for field, example in (("occurred_at", "%t"), ("status", "%>s")):
        if field not in fields:
            raise ConfigError(
                f"{name}: the LogFormat {string!r} does not tell "
                f"{'when a request was' if field == 'occurred_at' else 'its status'}; "
                f"add {example}, in Apache too"
            )
    return LogFormat(name, record.record, fields, refusal)


def _variable(letter: str, argument: str | None) -> list[str | Variable]:
    if argument is not None:
        name = _ARGUMENTS.get((letter, argument.removeprefix("begin:").lower()))
        return [Variable(name, solid=letter in "Tt" and name is not None)]
    if letter == "t":
        return ["[", Variable("time"), "]"]
    return [Variable(_LETTERS.get(letter), solid=letter in _SOLID)]
