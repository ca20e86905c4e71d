"""Caddy's access log, in its default JSON.

Times and durations are seconds (``time_format`` may be any ISO 8601 one; ``duration_format``
stays). Lines of Caddy's other loggers, which are in the log where it is stderr, tell of no
request. Status 0 is a connection that ended before an answer.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.request_line import without_port
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        "time": ("ts",),
        "client": ("request.client_ip", "request.remote_ip"),
        # before version 2.5
        "address": ("request.remote_addr",),
        "method": ("request.method",),
        "host": ("request.host",),
        "target": ("request.uri",),
        "status": ("status",),
        "duration_s": ("duration",),
        "bytes": ("size",),
        "user": ("user_id",),
        "user_agent": ("request.headers.User-Agent.0",),
        "request_id": ("request.headers.X-Request-Id.0", "uuid"),
        "level": ("level",),
    }
)
_FIELDS = standard_fields(_RECORD)

CADDY_JSON = LogFormat(
    name="caddy_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields={
        **_FIELDS,
        "client": f"coalesce({_FIELDS['client']}, {without_port(_RECORD.value('address'))})",
    },
    refusal="is not JSON",
    other=f"{_RECORD.value('level')} IS NOT NULL AND {_RECORD.value('method')} IS NULL "
    f"AND {_RECORD.value('status')} IS NULL AND {_FIELDS['occurred_at']} IS NOT NULL",
)
