"""Reporting events from the processes in which they happen.

``report_event`` makes an event of what it is given and hands it to the first transport that takes
it: userdb, else a spool file that the collector ``gateway_exceptions`` drains. It needs the
standard library and SQLAlchemy alone, reads the clock (it is an edge), and never raises.
"""

from include.reporting.event import build_event
from include.reporting.report import default_reporter, report_event
from include.reporting.reporter import Reporter
from include.reporting.spool import SpoolTransport, default_spool
from include.reporting.transport import Transport, TransportError
from include.reporting.userdb_transport import UserdbTransport

__all__ = [
    "Reporter",
    "SpoolTransport",
    "Transport",
    "TransportError",
    "UserdbTransport",
    "build_event",
    "default_reporter",
    "default_spool",
    "report_event",
]
