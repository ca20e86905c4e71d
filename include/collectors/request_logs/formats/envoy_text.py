"""Envoy's default text format, and Istio's, which has more fields in it.

    [%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"
    %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"
    "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"

Durations are milliseconds; times are those at which requests began. The client is the first
address of X-Forwarded-For. How a request ended is told by the response flags, then by the code.
Envoy doesn't escape quotes in headers: a line is taken apart by what stands between them.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.envoy_flags import flag_verdicts
from include.collectors.request_logs.formats.request_line import without_port
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.text_record import TextRecord

_RECORD = TextRecord(
    r'^\x00*\[([^\]]+)\] "(\S+) (\S+) \S+" (\d+|-) (\S+) '
    # Istio: response code details, connection termination details, upstream's transport failure
    r'(?:\S+ \S+ ".*?" )?'
    r'(?:\d+|-) (\d+|-) (\d+|-) (?:\d+|-) "(.*?)" "(.*)" "([^"]*)" "([^"]*)" "([^"]*)"'
    # ... cluster; local, downstream's local and remote address; server name; route
    r"(?: (\S+) \S+ \S+ (\S+) \S+ (\S+))?\s*$",
    (
        "time",
        "method",
        "target",
        "status",
        "flags",
        "bytes",
        "duration_ms",
        "client",
        "user_agent",
        "request_id",
        "host",
        "instance",
        "service",
        "address",
        "route",
    ),
)
_value = _RECORD.value
_FIELDS = standard_fields(_RECORD)

ENVOY_TEXT = LogFormat(
    name="envoy_text",
    record=_RECORD.record,
    fields={
        **_FIELDS,
        "client": f"coalesce({_FIELDS['client']}, {without_port(_value('address'))})",
    },
    refusal="is not a line of Envoy's default format",
    verdicts=flag_verdicts(_value("flags")),
    status_name="response_code",
)
