"""Kong, as its plugins file-log, http-log and tcp-log write requests.

Latencies and times are milliseconds; times are those at which requests began. The instance is the
one of the last try; a request that Kong answered itself has none.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        "time_ms": ("started_at",),
        "client": ("client_ip",),
        "method": ("request.method",),
        "host": ("request.headers.host",),
        "target": ("request.uri", "request.url"),
        "status": ("response.status",),
        "duration_ms": ("latencies.request",),
        "bytes": ("response.size",),
        "user": ("consumer.username", "consumer.custom_id", "authenticated_entity.id"),
        "user_agent": ("request.headers.user-agent",),
        "request_id": ("request.id", "request.headers.x-request-id"),
        "service": ("service.name", "service.host"),
        "route": ("route.name", "route.id"),
        "ip": ("tries.#-1.ip",),
        "port": ("tries.#-1.port",),
    }
)
_IP = _RECORD.value("ip")

KONG_JSON = LogFormat(
    name="kong_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields={
        **standard_fields(_RECORD),
        "instance": f"""CASE WHEN contains({_IP}, ':') THEN '[' || {_IP} || ']' ELSE {_IP} END
            || coalesce(':' || {_RECORD.value("port")}, '')""",
    },
    refusal="is not JSON",
    status_name="response.status",
)
