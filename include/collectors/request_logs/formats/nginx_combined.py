"""nginx's own default format, ``combined``; what a longer one has after it is ignored.

    log_format combined '$remote_addr - $remote_user [$time_local] '
                        '"$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';

It has no duration, host, upstream or request id, so latencies and instances are unknown and a
request that timed out is known by its status alone. ``nginx_json`` tells all of these.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = (
    r"^\x00*(\S+) - (.*?) \[([^\]]+)\] "
    + _QUOTED
    + r" (\d{3}) (\d+|-)(?: "
    + _QUOTED
    + r" "
    + _QUOTED
    + r")?(?:\s|$)"
)
_NAMES = "['client', 'user', 'time', 'request', 'status', 'bytes', 'referer', 'user_agent']"
#: A request line; what a port scanner sends is no such line and has neither method nor path.
_REQUEST = r"^([A-Za-z]{1,32}) (\S+)(?: HTTP/[\d.]+)?$"

NGINX_COMBINED = LogFormat(
    name="nginx_combined",
    record=f"""CASE WHEN regexp_matches(line, '{_LINE}')
                    THEN regexp_extract(line, '{_LINE}', {_NAMES}) END""",
    fields={
        "occurred_at": "try_strptime(record.time, '%d/%b/%Y:%H:%M:%S %z')::TIMESTAMPTZ",
        "client": "record.client",
        "method": f"regexp_extract(record.request, '{_REQUEST}', 1)",
        "path": f"split_part(regexp_extract(record.request, '{_REQUEST}', 2), '?', 1)",
        "status": "try_cast(record.status AS INTEGER)",
        "bytes_sent": "try_cast(record.bytes AS BIGINT)",
        "user": "record.user",
        "user_agent": "record.user_agent",
    },
    refusal="is not a line of nginx's combined format",
)
