"""Apache APISIX, as its plugins file-logger, http-logger and their kin write requests by default.

Latencies and times are milliseconds; times are those at which requests began. With a
``log_format`` of your own, use ``mapped_json``.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        "time_ms": ("start_time",),
        "client": ("client_ip",),
        "method": ("request.method",),
        "host": ("request.headers.host",),
        "target": ("request.uri", "request.url"),
        "status": ("response.status",),
        "duration_ms": ("latency",),
        "bytes": ("response.size",),
        "user": ("consumer.username",),
        "user_agent": ("request.headers.user-agent",),
        "request_id": ("request.headers.x-request-id", "response.headers.x-request-id"),
        "service": ("service_id",),
        "route": ("route_id",),
        "instance": ("upstream",),
    }
)

APISIX_JSON = LogFormat(
    name="apisix_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields=standard_fields(_RECORD),
    refusal="is not JSON",
    status_name="response.status",
)
