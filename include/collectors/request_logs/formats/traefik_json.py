"""Traefik's access log in JSON, versions 1 to 3.

Durations are nanoseconds. The status is what the client got; ``OriginStatus`` is absent where
Traefik answered itself. Version 1 calls routers frontends, and services backends.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        "time": ("StartUTC", "StartLocal"),
        "client": ("ClientHost",),
        "method": ("RequestMethod",),
        "host": ("RequestHost", "RequestAddr"),
        "target": ("RequestPath",),
        "status": ("DownstreamStatus", "OriginStatus"),
        "duration_ns": ("Duration",),
        "bytes": ("DownstreamContentSize", "OriginContentSize"),
        "user": ("ClientUsername",),
        "user_agent": ("request_User-Agent",),
        "request_id": ("request_X-Request-Id", "request_X-Request-ID"),
        "service": ("ServiceName", "BackendName"),
        "route": ("RouterName", "FrontendName"),
        "instance": ("ServiceAddr", "BackendAddr", "ServiceURL.Host", "BackendURL.Host"),
    }
)

TRAEFIK_JSON = LogFormat(
    name="traefik_json",
    record=_RECORD.record,
    fields=standard_fields(_RECORD),
    refusal="is not JSON",
    status_name="DownstreamStatus",
)
