"""Apache httpd's ``common``.

It has no duration, host, upstream or request id. Times are those at which requests began.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.apache_directives import compile_log_format
from include.collectors.request_logs.formats.base import LogFormat

APACHE_COMMON: LogFormat = compile_log_format(
    "apache_common", '%h %l %u %t "%r" %>s %b', "is not a line of Apache's common format"
)
