"""Apache httpd's ``combined``; its log has no duration, host, upstream or request id.

Times are those at which requests began. For durations, add ``%D`` and use ``apache_log_format``.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.apache_directives import compile_log_format
from include.collectors.request_logs.formats.base import LogFormat

APACHE_COMBINED: LogFormat = compile_log_format(
    "apache_combined",
    '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "is not a line of Apache's combined format",
)
