"""nginx, one JSON object a line. Put this into nginx.conf's ``http`` block, and use it with
``access_log /var/log/nginx/access.log monitoring;``:

    log_format monitoring escape=json
      '{"time":"$msec","request_id":"$request_id","remote_addr":"$remote_addr",'
      '"remote_user":"$remote_user","request_method":"$request_method","host":"$host",'
      '"request_uri":"$request_uri","status":"$status","body_bytes_sent":"$body_bytes_sent",'
      '"request_time":"$request_time","upstream_addr":"$upstream_addr",'
      '"upstream_status":"$upstream_status",'
      '"upstream_response_time":"$upstream_response_time",'
      '"http_user_agent":"$http_user_agent"}';

Quotes around numbers are needed: a variable without a value is empty. A gateway that knows the
names of service and route (``map``, ``set``) may add "service" and "route". ``$time_iso8601`` does
as well as ``$msec``, in whole seconds. Keys that are not known are ignored, absent ones are null.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat
from include.collectors.request_logs.formats.json_record import JsonRecord
from include.collectors.request_logs.formats.standard_fields import standard_fields

#: The directive of this module's docstring.
LOG_FORMAT = (__doc__ or "").split("\n\n")[1].replace("\n    ", "\n").strip() + "\n"

_RECORD = JsonRecord(
    {
        "time": ("time", "msec", "time_iso8601", "timestamp", "@timestamp", "time_local"),
        "client": ("remote_addr", "client"),
        "method": ("request_method", "method"),
        "request": ("request",),
        "host": ("host", "http_host", "server_name"),
        "target": ("request_uri", "uri", "path"),
        "status": ("status",),
        "duration_s": ("request_time",),
        "bytes": ("body_bytes_sent", "bytes_sent"),
        "user": ("remote_user", "user"),
        "user_agent": ("http_user_agent", "user_agent"),
        "request_id": ("request_id",),
        "service": ("service",),
        "route": ("route",),
        "instance": ("upstream_addr",),
    }
)
_value = _RECORD.value
_URI = f"coalesce({_value('target')}, split_part({_value('request')}, ' ', 2))"

NGINX_JSON = LogFormat(
    name="nginx_json",
    record=_RECORD.record,
    values=_RECORD.values,
    fields={
        **standard_fields(_RECORD),
        # one address, never a list
        "client": _value("client"),
        # no regular expressions: the request line is a fallback, and targets begin with a slash
        "method": f"coalesce({_value('method')}, split_part({_value('request')}, ' ', 1))",
        "host": _value("host"),
        "path": f"split_part({_URI}, '?', 1)",
    },
    refusal="is not JSON",
)
