"""HAProxy's ``option tcplog``: a line a connection, with or without syslog's prefix.

A connection has no status, method or path; how it ended is told by the termination state. Times
are local to the gateway and name no zone: set the source's ``timezone``.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.haproxy_state import (
    CLIENT,
    COUNTERS,
    OTHER,
    state_verdicts,
)
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.text_record import TextRecord
from include.collectors.request_logs.formats.times import local_time

_RECORD = TextRecord(
    CLIENT + r" (?:-?\d+/){2}(\+?-?\d+) (?:\+\d+|(\d+)) ([A-Za-z-]{2})" + COUNTERS + r"\s*$",
    ("client", "time", "service", "instance", "duration_ms", "bytes", "state"),
    OTHER,
)
_STATE = _RECORD.value("state")
_FIELDS = standard_fields(_RECORD)

HAPROXY_TCP = LogFormat(
    name="haproxy_tcp",
    record=_RECORD.record,
    fields={
        **_FIELDS,
        "occurred_at": local_time(_RECORD.value("time"), "%d/%b/%Y:%H:%M:%S.%g"),
        # the name of a server, as the log has no address
        "instance": f"nullif({_FIELDS['instance']}, '<NOSRV>')",
    },
    refusal="is not a line of HAProxy's tcplog",
    verdicts=state_verdicts(_STATE, None),
    other=f"{_STATE} IS NULL",
)
