"""nginx's own default format, ``combined``; what a longer one has after it is ignored.

    log_format combined '$remote_addr - $remote_user [$time_local] '
                        '"$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';

It has no duration, host, upstream or request id, so latencies and instances are unknown and a
request that timed out is known by its status alone. ``nginx_json`` tells all of these.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.text_record import QUOTED, TextRecord
from include.collectors.request_logs.formats.times import clf_time

RECORD = TextRecord(
    r"^\x00*(\S+) - (.*?) \[([^\]]+)\] "
    + QUOTED
    + r" (\d{3}) (\d+|-)(?: "
    + QUOTED.replace("(", "(?:", 1)
    + r" "
    + QUOTED
    + r")?(?:\s|$)",
    ("client", "user", "time", "request", "status", "bytes", "user_agent"),
    usual=(
        ("client", r"[^\s\x00]+"),
        " - ",
        ("user", r'[^\s"\[]+'),
        r" \[",
        ("time", r"[^\]]+"),
        r'\] "',
        ("request", r'[^"\\]*'),
        '" ',
        ("status", r"\d\d\d"),
        " ",
        ("bytes", r"\d+|-"),
        r' "[^"\\]*" "',
        ("user_agent", r'[^"\\]*'),
        r'"\s*',
    ),
)

NGINX_COMBINED = LogFormat(
    name="nginx_combined",
    record=RECORD.record,
    fields={
        **standard_fields(RECORD),
        "occurred_at": clf_time(RECORD.value("time")),
        # what is empty, or "-", becomes null later: to look for it here would cost
        "client": "record.client",
        "user": "record.user",
        "user_agent": "record.user_agent",
        "status": "try_cast(record.status AS INTEGER)",
        "bytes_sent": "try_cast(record.bytes AS BIGINT)",
    },
    refusal="is not a line of nginx's combined format",
    open_ended=True,
)
