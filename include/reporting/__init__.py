"""Reporting events from the processes in which they happen.

``report_event`` makes an event of what it is given and hands it to the first transport that takes
it: the HTTP API where MONITORING_URL is set, else userdb, else a spool file that the collector
``gateway_exceptions`` drains. It needs the standard library, SQLAlchemy and requests alone, reads
the clock (it is an edge), and never raises.
"""

from include.reporting.event import build_event
from include.reporting.http_settings import HttpSettings
from include.reporting.http_transport import HttpTransport
from include.reporting.report import (
    default_reporter,
    flush_events,
    report_event,
    start_delivery,
)
from include.reporting.reporter import Reporter
from include.reporting.spool import SpoolTransport, default_spool
from include.reporting.transport import Transport, TransportError
from include.reporting.userdb_transport import UserdbTransport

__all__ = [
    "HttpSettings",
    "HttpTransport",
    "Reporter",
    "SpoolTransport",
    "Transport",
    "TransportError",
    "UserdbTransport",
    "build_event",
    "default_reporter",
    "default_spool",
    "flush_events",
    "report_event",
    "start_delivery",
]
