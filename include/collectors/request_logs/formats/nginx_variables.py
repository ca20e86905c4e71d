"""nginx's log_format strings (https://nginx.org/en/docs/http/ngx_http_log_module.html)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import Record, standard_fields
from include.collectors.request_logs.formats.template import Variable, compile_template
from userdb.errors import ConfigError

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")
#: A whole directive; its string may be in parts.
_DIRECTIVE = re.compile(r"^\s*log_format\s+\S+\s+(?:escape=\w+\s+)?(?P<parts>.*?);?\s*$", re.S)
_PART = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(\S+)""")

#: Variables by the name that ``standard_fields`` has for their values; the first that a format
#: has is taken.
_NAMES = {
    "time": ("msec", "time_iso8601", "time_local"),
    "client": ("remote_addr", "realip_remote_addr", "http_x_forwarded_for"),
    "request": ("request",),
    "method": ("request_method",),
    "target": ("request_uri", "uri", "document_uri"),
    "host": ("host", "http_host", "server_name"),
    "status": ("status",),
    "duration_s": ("request_time",),
    "bytes": ("body_bytes_sent", "bytes_sent"),
    "user": ("remote_user",),
    "user_agent": ("http_user_agent",),
    # req_id, proxy_upstream_name: of ingress-nginx
    "request_id": ("request_id", "req_id", "http_x_request_id"),
    "service": ("service", "proxy_upstream_name"),
    "route": ("route",),
    "instance": ("upstream_addr",),
}
#: Variables whose values hold no blanks.
_SOLID = frozenset(
    {
        "body_bytes_sent",
        "bytes_sent",
        "connection",
        "connection_requests",
        "host",
        "msec",
        "pipe",
        "proxy_upstream_name",
        "remote_addr",
        "remote_port",
        "req_id",
        "request_id",
        "request_length",
        "request_method",
        "request_time",
        "request_uri",
        "scheme",
        "server_name",
        "server_port",
        "server_protocol",
        "status",
        "time_iso8601",
    }
)
#: What a variable of upstreams holds: a value for each that was tried.
_UPSTREAMS = r"((?:[^\s,]+(?:(?:,| :) [^\s,]+)*)?)"
_MARK = "\x00"


def directive_string(text: str) -> str:
    """The format string of ``text``: itself, or what a directive ``log_format …;`` holds."""
    found = _DIRECTIVE.match(text)
    if found is None:
        return text
    parts = (single or double or plain for single, double, plain in _PART.findall(found["parts"]))
    return "".join(parts)


def compile_log_format(name: str, text: str, refusal: str) -> LogFormat:
    """The log format that a log_format string makes; one that is a JSON object is read as JSON.

    Raises:
        ConfigError: it has no time or no status, or is broken JSON.
    """
    string = directive_string(text)
    used = [found["braced"] or found["plain"] for found in _VARIABLE.finditer(string)]
    names = _names(used)
    is_json = string.lstrip().startswith("{")
    record = _json_record(name, string, names) if is_json else _text_record(string, names)
    fields = standard_fields(record)
    for field, example in (("occurred_at", "$msec"), ("status", "$status")):
        if field not in fields:
            raise ConfigError(
                f"{name}: the log_format {string!r} does not tell "
                f"{'when a request was' if field == 'occurred_at' else 'its status'}; "
                f"add {example}, in nginx too"
            )
    refusal = "is not JSON" if is_json else refusal
    return LogFormat(name, record.record, fields, refusal, record.values)


def _names(used: list[str]) -> dict[str, str]:
    """Variables that are needed, and what for."""
    found = {}
    for name, variables in _NAMES.items():
        variable = next((one for one in variables if one in used), None)
        if variable is not None:
            found[variable] = name
    return found


def _text_record(string: str, names: dict[str, str]) -> Record:
    pieces: list[str | Variable] = []
    end = 0
    for found in _VARIABLE.finditer(string):
        if found.start() > end:
            pieces.append(string[end : found.start()])
        end = found.end()
        variable = found["braced"] or found["plain"]
        pieces.append(
            Variable(
                names.get(variable),
                solid=variable in _SOLID,
                pattern=_UPSTREAMS if variable.startswith("upstream_") else None,
            )
        )
    if end < len(string):
        pieces.append(string[end:])
    return compile_template(pieces)


def _json_record(format_name: str, string: str, names: dict[str, str]) -> Record:
    def mark(found: re.Match[str]) -> str:
        return f"{_MARK}{found['braced'] or found['plain']}{_MARK}"

    # strings as they are; variables outside of them, which are numbers, become strings
    marked = re.sub(
        r'"(?:[^"\\]|\\.)*"|\$(?:\{\w+\}|\w+)',
        lambda found: (
            _VARIABLE.sub(mark, found[0])
            if found[0].startswith('"')
            else '"' + _VARIABLE.sub(mark, found[0]) + '"'
        ),
        string,
    )
    try:
        document = json.loads(marked, strict=False)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{format_name}: the log_format {string!r} begins as a JSON object and is none: "
            f"{error}; correct it, in nginx too"
        ) from None
    keys: dict[str, tuple[str, ...]] = {}
    for pointer, value in _leaves(document, ""):
        variable = value[1:-1]
        if value == f"{_MARK}{variable}{_MARK}" and variable in names:
            keys.setdefault(names[variable], (pointer,))
    return JsonRecord(keys)


def _leaves(document: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """All strings of a JSON document, with their JSON Pointers."""
    if isinstance(document, str):
        yield pointer, document
        return
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = [(str(index), item) for index, item in enumerate(document)]
    else:
        return
    for key, item in items:
        yield from _leaves(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
