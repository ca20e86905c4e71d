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

#: The directive of this module's docstring.
LOG_FORMAT = (__doc__ or "").split("\n\n")[1].replace("\n    ", "\n").strip() + "\n"

#: Keys that a value may have, the first that is there wins; ``record`` holds them in this order.
_KEYS = {
    "time": ("time", "msec", "time_iso8601", "timestamp", "@timestamp", "time_local"),
    "client": ("remote_addr", "client"),
    "method": ("request_method", "method"),
    "request": ("request",),
    "host": ("host", "http_host", "server_name"),
    "uri": ("request_uri", "uri", "path"),
    "status": ("status",),
    "seconds": ("request_time",),
    "bytes": ("body_bytes_sent", "bytes_sent"),
    "user": ("remote_user", "user"),
    "user_agent": ("http_user_agent", "user_agent"),
    "request_id": ("request_id",),
    "service": ("service",),
    "route": ("route",),
    "upstream": ("upstream_addr",),
}
_FLAT = [key for keys in _KEYS.values() for key in keys]
_PATHS = ", ".join(f"'$.\"{key}\"'" for key in _FLAT)


def _value(name: str) -> str:
    found = [f"nullif(nullif(record[{_FLAT.index(key) + 1}], ''), '-')" for key in _KEYS[name]]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


_TIME = _value("time")
_URI = f"coalesce({_value('uri')}, split_part({_value('request')}, ' ', 2))"

NGINX_JSON = LogFormat(
    name="nginx_json",
    # json_type would parse each line once more; JSON that is no object is refused for its time
    record=f"CASE WHEN json_valid(line) THEN json_extract_string(line, [{_PATHS}]) END",
    fields={
        "occurred_at": f"""coalesce(
            CASE WHEN try_cast({_TIME} AS DOUBLE) BETWEEN 0 AND 1e11
                 THEN make_timestamptz(round(try_cast({_TIME} AS DOUBLE) * 1e6)::BIGINT) END,
            CASE WHEN regexp_matches({_TIME}, '^\\d{{4}}-.*(Z|[+-]\\d\\d(:?\\d\\d)?)$')
                 THEN try_cast({_TIME} AS TIMESTAMPTZ) END,
            try_cast({_TIME} AS TIMESTAMP) AT TIME ZONE getvariable('zone'),
            try_strptime({_TIME}, '%d/%b/%Y:%H:%M:%S %z')::TIMESTAMPTZ)""",
        "client": _value("client"),
        "method": f"coalesce({_value('method')}, split_part({_value('request')}, ' ', 1))",
        "host": _value("host"),
        "path": f"split_part({_URI}, '?', 1)",
        "status": f"try_cast({_value('status')} AS INTEGER)",
        "duration_ms": f"round(try_cast({_value('seconds')} AS DOUBLE) * 1000, 3)",
        "bytes_sent": f"try_cast({_value('bytes')} AS BIGINT)",
        "user": _value("user"),
        "user_agent": _value("user_agent"),
        "request_id": _value("request_id"),
        "service": _value("service"),
        "route": _value("route"),
        # "a:1, b:2" after a retry, "a:1 : b:2" after an internal redirect: the last one answered
        "instance": f"regexp_extract({_value('upstream')}, '(\\S+)\\s*$', 1)",
    },
    refusal="is not JSON",
)
