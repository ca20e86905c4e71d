"""Envoy's access log in JSON, with the keys that Istio and Envoy Gateway give it.

Durations are milliseconds; times are those at which requests began. How a request ended is told
by the response flags, then by the response code; code 0 is a request that got no answer.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.envoy_flags import flag_verdicts
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.request_line import without_port
from include.collectors.request_logs.formats.standard_fields import standard_fields

_RECORD = JsonRecord(
    {
        "time": ("start_time",),
        "client": ("x_forwarded_for",),
        "address": ("downstream_remote_address",),
        "method": ("method",),
        "host": ("authority", ":authority"),
        "target": ("path", "x-envoy-origin-path"),
        "status": ("response_code",),
        "flags": ("response_flags", "response_flags_long"),
        "duration_ms": ("duration",),
        "bytes": ("bytes_sent",),
        "user_agent": ("user_agent", "user-agent"),
        "request_id": ("request_id", "x_request_id", "x-request-id"),
        "service": ("upstream_cluster",),
        "route": ("route_name",),
        "instance": ("upstream_host",),
    }
)
_FIELDS = standard_fields(_RECORD)

ENVOY_JSON = LogFormat(
    name="envoy_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields={
        **_FIELDS,
        "client": f"coalesce({_FIELDS['client']}, {without_port(_RECORD.value('address'))})",
    },
    refusal="is not JSON",
    verdicts=flag_verdicts(_RECORD.value("flags")),
    status_name="response_code",
)
