"""Traefik's access log in JSON, versions 1 to 3.

Durations are nanoseconds. The status is what the client got; ``OriginStatus`` is absent where
Traefik answered itself. Version 1 calls routers frontends, and services backends.

The HTTP provider has our own route table (`monitoring.gateway.traefik`): its names become again
what they are there, without the provider and a service's time limit.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        # the last is of its own log, and of requests whose start is not kept
        "time": ("StartUTC", "StartLocal", "time"),
        "level": ("level",),
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

_FIELDS = standard_fields(_RECORD)
for _name in ("service", "route"):
    _FIELDS[_name] = f"regexp_replace({_FIELDS[_name]}, '(~[0-9]+ms)?@http$', '')"

TRAEFIK_JSON = LogFormat(
    name="traefik_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields=_FIELDS,
    refusal="is not JSON",
    status_name="DownstreamStatus",
    other=f"{_RECORD.value('level')} IS NOT NULL AND {_RECORD.value('method')} IS NULL "
    f"AND {_RECORD.value('status')} IS NULL AND {_FIELDS['occurred_at']} IS NOT NULL",
)
