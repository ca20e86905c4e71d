"""HAProxy's ``option httplog`` (and ``httpslog``), with or without syslog's prefix.

The timers are milliseconds, -1 where a request never got so far; the duration is the total active
time (Ta), unknown where ``option logasap`` logs before the end ("+12"). Times are local to the
gateway and name no zone: set the source's ``timezone``. They are those at which requests began.
How a request ended is told by the termination state, then by the status, which is -1 where the
client left before an answer. The log has no host, user agent or request id.
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
    CLIENT
    # what logasap logs before it is final has a plus
    + r" (?:-?\d+/){4}(?:\+-?\d+|(-?\d+)) (-?\d+) (?:\+\d+|(\d+)) \S+ \S+ ([A-Za-z-]{2}\S{2})"
    + COUNTERS
    # captured headers; a long request is cut, and has no quote at its end
    + r'(?: \{[^}]*\}){0,2} "([^"\n]*)(?:"|\s*$)',
    ("client", "time", "service", "instance", "duration_ms", "status", "bytes", "state", "request"),
    OTHER,
)
_STATE = _RECORD.value("state")
_FIELDS = standard_fields(_RECORD)
_STATUS = f"nullif({_FIELDS['status']}, -1)"

HAPROXY_HTTP = LogFormat(
    name="haproxy_http",
    record=_RECORD.record,
    fields={
        **_FIELDS,
        "occurred_at": local_time(_RECORD.value("time"), "%d/%b/%Y:%H:%M:%S.%g"),
        "status": _STATUS,
        # the name of a server, as the log has no address
        "instance": f"nullif({_FIELDS['instance']}, '<NOSRV>')",
    },
    refusal="is not a line of HAProxy's httplog",
    verdicts=state_verdicts(_STATE, _STATUS),
    status_name="status_code",
    other=f"{_STATE} IS NULL",
)
