"""Traefik's access log in its Common Log Format, which is its default; versions 1 to 3.

It is Apache's combined format with a count, "router", "server URL" and a duration in milliseconds
after it. The status is the upstream's: where Traefik answered itself, some versions log "-", and
such a line is refused, as nobody can tell how it ended. ``traefik_json`` has both. Quotes in
headers are not escaped: a line is taken apart by what stands between them.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.text_record import TextRecord
from include.collectors.request_logs.formats.times import clf_time

_RECORD = TextRecord(
    r'^\x00*(.+?) - (.*?) \[([^\]]+)\] "(\S+) (.*?) \S+" (\d+|-) (\d+|-) (?:".*?"|-) (?:"(.*)"|-) '
    r'(?:\d+|-) (?:"([^"]*)"|-) (?:"([^"]*)"|-) (-?\d+)ms\s*$',
    (
        "client",
        "user",
        "time",
        "method",
        "target",
        "status",
        "bytes",
        "user_agent",
        "route",
        "server",
        "duration_ms",
    ),
)

TRAEFIK_CLF = LogFormat(
    name="traefik_clf",
    record=_RECORD.record,
    fields={
        **standard_fields(_RECORD),
        "occurred_at": clf_time(_RECORD.value("time")),
        "instance": f"regexp_extract({_RECORD.value('server')}, '^(?:[a-z0-9]+://)?([^/]*)', 1)",
    },
    refusal="is not a line of Traefik's Common Log Format",
)
