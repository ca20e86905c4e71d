"""Lines as each gateway writes them, and the requests that they tell of.

Copied from the servers' documentation or from a real server's log, with other names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A line of ``format``, and the columns that it tells; those not named are null."""

    format: str
    line: bytes
    row: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.format}-{self.row.get('outcome_reason')}"


def _json(**values: Any) -> bytes:
    return json.dumps(values).encode()


OPTIONS: dict[str, dict[str, Any]] = {
    "nginx_log_format": {
        "log_format": '$remote_addr - $remote_user [$time_local] "$request" $status '
        '$body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time '
        "[$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr "
        "$upstream_response_length $upstream_response_time $upstream_status $req_id"
    },
    "apache_log_format": {
        "log_format": 'LogFormat "%a %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" '
        '\\"%{User-Agent}i\\" %D %v \\"%{X-Request-Id}i\\"" timed'
    },
    "mapped_json": {
        "fields": {
            "time": "ts",
            "client": "peer.ip",
            "method": "http.verb",
            "target": ["http.url", "http.path"],
            "status": "http.code",
            "duration": "took",
            "bytes": "/size.out",
            "service": "app",
            "route": "tags.1",
        },
        "time_unit": "ms",
        "duration_unit": "us",
        "outcomes": [{"outcome": "timeout", "field": "error.kind", "values": ["deadline"]}],
    },
}

_T = "2026-01-31T10:00:00+00:00"

SAMPLES = [
    Sample(
        "nginx_combined",
        b'10.0.0.7 - ann [31/Jan/2026:12:00:00 +0200] "GET /a?b=c HTTP/1.1" 504 100 "-" "curl/8"',
        {
            "time": _T,
            "client": "10.0.0.7",
            "user": "ann",
            "method": "GET",
            "path": "/a",
            "status": 504,
            "bytes_sent": 100,
            "user_agent": "curl/8",
            "outcome": "timeout",
            "outcome_reason": "status=504",
            "route": "/a",
        },
    ),
    Sample(
        "nginx_json",
        _json(
            time="1769853600.000",
            remote_addr="::1",
            request_method="GET",
            host="gw",
            request_uri="/a/7",
            status="499",
            request_time="0.250",
            upstream_addr="10.1.0.1:80, 10.1.0.2:80",
        ),
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "host": "gw",
            "path": "/a/7",
            "route": "/a/{id}",
            "status": 499,
            "duration_ms": 250.0,
            "instance": "10.1.0.2:80",
            "outcome": "timeout",
            "outcome_reason": "status=499",
        },
    ),
    Sample(
        "nginx_log_format",
        b'10.0.0.7 - ann lee [31/Jan/2026:10:00:00 +0000] "POST /pay HTTP/2.0" 200 12 "-" '
        b'"Agent \\"x\\"" 321 0.101 [shop-pay-80] [] 10.1.0.1:80, 10.1.0.2:80 0, 12 0.050, 0.051 '
        b"502, 200 5f1e",
        {
            "time": _T,
            "client": "10.0.0.7",
            "user": "ann lee",
            "method": "POST",
            "path": "/pay",
            "route": "/pay",
            "status": 200,
            "bytes_sent": 12,
            "user_agent": 'Agent \\"x\\"',
            "duration_ms": 101.0,
            "service": "shop-pay-80",
            "instance": "10.1.0.2:80",
            "request_id": "5f1e",
            "outcome": "ok",
            "outcome_reason": "status=200",
        },
        OPTIONS["nginx_log_format"],
    ),
    Sample(
        "nginx_log_format",
        b'{"at":"2026-01-31T10:00:00+00:00","req":{"line":"GET /a HTTP/1.1","ms":0.002},"st":404}',
        {
            "time": _T,
            "method": "GET",
            "path": "/a",
            "route": "/a",
            "status": 404,
            "duration_ms": 2.0,
            "outcome": "client_error",
            "outcome_reason": "status=404",
        },
        {
            "log_format": 'log_format main escape=json \'{"at":"$time_iso8601",\'\n'
            '  \'"req":{"line":"$request","ms":$request_time},"st":$status}\';'
        },
    ),
    Sample(
        "nginx_error",
        b'2026/01/31 10:00:00 [error] 7#7: *45 user "ann": password mismatch, client: 10.0.0.7, '
        b'server: gw, request: "GET /admin/?q="x HTTP/1.1", host: "gw.example.org"',
        {
            "time": _T,
            "client": "10.0.0.7",
            "user": "ann",
            "method": "GET",
            "path": "/admin/",
            "route": "/admin/",
            "host": "gw.example.org",
            "outcome": "auth_failure",
            "outcome_reason": "message=password mismatch",
        },
    ),
    Sample(
        "nginx_error",
        b"2026/01/31 10:00:00 [error] 7#7: *46 upstream timed out (110: Connection timed out) "
        b"while reading response header from upstream, client: ::1, server: , request: "
        b'"GET /slow/1 HTTP/1.1", upstream: "http://10.1.0.1:80/slow/1", host: "gw"',
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "path": "/slow/1",
            "route": "/slow/{id}",
            "host": "gw",
            "instance": "10.1.0.1:80",
            "outcome": "timeout",
            "outcome_reason": "message=upstream timed out",
        },
    ),
    Sample(
        "apache_common",
        b'::1 - - [31/Jan/2026:10:00:00 +0000] "GET /caf%C3%A9 HTTP/1.1" 200 -',
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "path": "/caf%C3%A9",
            "route": "/caf%C3%A9",
            "status": 200,
            "outcome": "ok",
            "outcome_reason": "status=200",
        },
    ),
    Sample(
        "apache_combined",
        b'10.0.0.7 - ann [31/Jan/2026:10:00:00 +0000] "GET /a HTTP/1.1" 401 381 "http://x/" '
        b'"Agent \\"x\\""',
        {
            "time": _T,
            "client": "10.0.0.7",
            "user": "ann",
            "method": "GET",
            "path": "/a",
            "route": "/a",
            "status": 401,
            "bytes_sent": 381,
            "user_agent": 'Agent \\"x\\"',
            "outcome": "auth_failure",
            "outcome_reason": "status=401",
        },
    ),
    Sample(
        "apache_log_format",
        b'10.0.0.7 - - [31/Jan/2026:10:00:00 +0000] "GET /a HTTP/1.1" 500 381 "-" "curl/8" 1234567 '
        b'gw.example.org "r-1"',
        {
            "time": _T,
            "client": "10.0.0.7",
            "method": "GET",
            "path": "/a",
            "route": "/a",
            "host": "gw.example.org",
            "status": 500,
            "bytes_sent": 381,
            "user_agent": "curl/8",
            "duration_ms": 1234.567,
            "request_id": "r-1",
            "outcome": "server_error",
            "outcome_reason": "status=500",
        },
        OPTIONS["apache_log_format"],
    ),
    Sample(
        "traefik_json",
        _json(
            ClientAddr="10.0.0.7:41000",
            ClientHost="10.0.0.7, 192.168.1.1",
            ClientUsername="-",
            DownstreamContentSize=19,
            DownstreamStatus=504,
            Duration=30001234567,
            OriginStatus=504,
            RequestHost="shop.example.org",
            RequestMethod="GET",
            RequestPath="/items/17?token=x",
            RouterName="shop@docker",
            ServiceAddr="172.18.0.3:8080",
            ServiceName="shop@docker",
            StartUTC="2026-01-31T10:00:00.123456789Z",
            **{"request_User-Agent": "curl/8", "time": "2026-01-31T10:00:30Z", "level": "info"},
        ),
        {
            "time": "2026-01-31T10:00:00.123456+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "shop.example.org",
            "path": "/items/17",
            "status": 504,
            "duration_ms": 30001.235,
            "bytes_sent": 19,
            "user_agent": "curl/8",
            "service": "shop@docker",
            "route": "shop@docker",
            "instance": "172.18.0.3:8080",
            "outcome": "timeout",
            "outcome_reason": "DownstreamStatus=504",
        },
    ),
    Sample(
        "traefik_json",
        # version 1, which answered itself: no OriginStatus, no backend
        _json(
            BackendName="",
            ClientHost="::1",
            DownstreamStatus=404,
            Duration=151000,
            FrontendName="backend not found",
            RequestHost="gw",
            RequestMethod="GET",
            RequestPath="/nope",
            StartUTC="2026-01-31T10:00:00Z",
            time="2026-01-31T10:00:00Z",
        ),
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "host": "gw",
            "path": "/nope",
            "status": 404,
            "duration_ms": 0.151,
            "route": "backend not found",
            "outcome": "client_error",
            "outcome_reason": "DownstreamStatus=404",
        },
    ),
    Sample(
        "traefik_clf",
        b'10.0.0.7 - - [31/Jan/2026:10:00:00 +0000] "GET /items/17 HTTP/1.1" 200 12 "-" '
        b'"an "odd" agent" 43 "shop@docker" "http://172.18.0.3:8080" 7ms',
        {
            "time": _T,
            "client": "10.0.0.7",
            "method": "GET",
            "path": "/items/17",
            "status": 200,
            "bytes_sent": 12,
            "user_agent": 'an "odd" agent',
            "route": "shop@docker",
            "instance": "172.18.0.3:8080",
            "duration_ms": 7.0,
            "outcome": "ok",
            "outcome_reason": "status=200",
        },
    ),
    Sample(
        "caddy_json",
        _json(
            level="info",
            ts=1769853600.5,
            logger="http.log.access",
            msg="handled request",
            request={
                "remote_ip": "10.0.0.7",
                "client_ip": "10.9.0.1",
                "method": "GET",
                "host": "gw:8443",
                "uri": "/items/17?x=y",
                "headers": {"User-Agent": ["curl/8"], "X-Request-Id": ["r-1"]},
            },
            user_id="ann",
            duration=0.000929675,
            size=10900,
            status=200,
        ),
        {
            "time": "2026-01-31T10:00:00.500000+00:00",
            "client": "10.9.0.1",
            "method": "GET",
            "host": "gw:8443",
            "path": "/items/17",
            "route": "/items/{id}",
            "user": "ann",
            "user_agent": "curl/8",
            "request_id": "r-1",
            "duration_ms": 0.93,
            "bytes_sent": 10900,
            "status": 200,
            "outcome": "ok",
            "outcome_reason": "status=200",
        },
    ),
    Sample(
        "caddy_json",
        _json(
            ts=1769853600,
            request={"remote_addr": "[::1]:5555", "method": "GET", "host": "gw", "uri": "/"},
            duration=1.5,
            size=0,
            status=0,
        ),
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "host": "gw",
            "path": "/",
            "route": "/",
            "duration_ms": 1500.0,
            "bytes_sent": 0,
            "status": 0,
            "outcome": "client_error",
            "outcome_reason": "status=0",
        },
    ),
    Sample(
        "envoy_json",
        _json(
            start_time="2026-01-31T10:00:00.123Z",
            method="GET",
            path="/items/17?x=y",
            authority="shop",
            response_code=0,
            response_flags="UF,URX",
            duration=12,
            bytes_sent=0,
            x_forwarded_for="10.0.0.7,10.0.0.8",
            upstream_host="10.1.0.1:8080",
            upstream_cluster="outbound|80||shop",
            route_name="default",
            request_id="r-1",
        ),
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "shop",
            "path": "/items/17",
            "status": 0,
            "duration_ms": 12.0,
            "bytes_sent": 0,
            "request_id": "r-1",
            "service": "outbound|80||shop",
            "route": "default",
            "instance": "10.1.0.1:8080",
            "outcome": "server_error",
            "outcome_reason": "response_flags=UF,URX",
        },
    ),
    Sample(
        "envoy_text",
        b'[2026-01-31T10:00:00.123Z] "GET /items/17 HTTP/1.1" 504 UT 0 24 5000 - "10.0.0.7" '
        b'"nsq2http "1"" "cc21d9b0" "locations" "10.1.0.1:80"',
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "locations",
            "path": "/items/17",
            "route": "/items/{id}",
            "status": 504,
            "duration_ms": 5000.0,
            "bytes_sent": 24,
            "user_agent": 'nsq2http "1"',
            "request_id": "cc21d9b0",
            "instance": "10.1.0.1:80",
            "outcome": "timeout",
            "outcome_reason": "response_flags=UT",
        },
    ),
    Sample(
        "envoy_text",
        # Istio's default
        b'[2026-01-31T10:00:00.123Z] "GET /status HTTP/1.1" 403 UAEX ext_authz_denied - "-" 0 19 5 '
        b'4 "-" "curl/8" "cc84" "httpbin:8000" "10.44.1.27:80" outbound|8000||httpbin '
        b"10.44.1.23:37652 10.0.45.184:8000 10.44.1.23:46520 - default",
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.44.1.23",
            "method": "GET",
            "host": "httpbin:8000",
            "path": "/status",
            "route": "default",
            "service": "outbound|8000||httpbin",
            "status": 403,
            "duration_ms": 5.0,
            "bytes_sent": 19,
            "user_agent": "curl/8",
            "request_id": "cc84",
            "instance": "10.44.1.27:80",
            "outcome": "auth_failure",
            "outcome_reason": "response_flags=UAEX",
        },
    ),
    Sample(
        "kong_json",
        _json(
            latencies={"request": 515, "kong": 58, "proxy": 457},
            service={"name": "shop", "host": "shop.internal"},
            request={
                "method": "GET",
                "uri": "/get?x=y",
                "url": "http://gw:8000/get?x=y",
                "size": 71,
                "id": "r-1",
                "headers": {"host": "gw:8000", "user-agent": "curl/8"},
            },
            client_ip="10.0.0.7",
            response={"status": 200, "size": 9982, "headers": {}},
            started_at=1769853600123,
            route={"name": "shop-get", "id": "0636a119"},
            tries=[
                {"ip": "10.1.0.1", "port": 80, "state": "failed", "code": 502},
                {"ip": "10.1.0.2", "port": 80},
            ],
            consumer={"username": "ann"},
        ),
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "gw:8000",
            "path": "/get",
            "user": "ann",
            "user_agent": "curl/8",
            "request_id": "r-1",
            "duration_ms": 515.0,
            "bytes_sent": 9982,
            "status": 200,
            "service": "shop",
            "route": "shop-get",
            "instance": "10.1.0.2:80",
            "outcome": "ok",
            "outcome_reason": "response.status=200",
        },
    ),
    Sample(
        "kong_json",
        _json(
            latencies={"request": 2, "kong": 2, "proxy": -1},
            request={"method": "GET", "uri": "/none", "headers": {"host": "gw"}},
            client_ip="::1",
            response={"status": 404, "size": 48},
            started_at=1769853600000,
        ),
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "host": "gw",
            "path": "/none",
            "route": "/none",
            "duration_ms": 2.0,
            "bytes_sent": 48,
            "status": 404,
            "outcome": "client_error",
            "outcome_reason": "response.status=404",
        },
    ),
    Sample(
        "apisix_json",
        _json(
            response={"status": 504, "headers": {}, "size": 1002},
            request={
                "method": "GET",
                "uri": "/hello?x=y",
                "url": "http://gw:9080/hello?x=y",
                "size": 85,
                "headers": {"host": "gw:9080", "user-agent": "curl/8"},
            },
            client_ip="10.0.0.7",
            service_id="shop",
            route_id="1",
            start_time=1769853600123,
            latency=60000.98,
            upstream_latency=60000,
            upstream="10.1.0.1:80",
            consumer={"username": "ann"},
        ),
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "gw:9080",
            "path": "/hello",
            "user": "ann",
            "user_agent": "curl/8",
            "duration_ms": 60000.98,
            "bytes_sent": 1002,
            "status": 504,
            "service": "shop",
            "route": "1",
            "instance": "10.1.0.1:80",
            "outcome": "timeout",
            "outcome_reason": "response.status=504",
        },
    ),
    Sample(
        "haproxy_http",
        b"Jan 31 10:00:01 gw haproxy[14389]: 10.0.0.7:33317 [31/Jan/2026:10:00:00.655] http-in~ "
        b"static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu|a b} {} "
        b'"GET /index.html?x=y HTTP/1.1"',
        {
            "time": "2026-01-31T10:00:00.655000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "path": "/index.html",
            "route": "/index.html",
            "service": "static",
            "instance": "srv1",
            "status": 200,
            "duration_ms": 109.0,
            "bytes_sent": 2750,
            "outcome": "ok",
            "outcome_reason": "status_code=200",
        },
    ),
    Sample(
        "haproxy_http",
        b"::1:33317 [31/Jan/2026:10:00:00.000] in app/app1 0/0/1/-1/5003 504 217 - - sH-- "
        b'2/2/1/1/0 0/0 "GET https://gw.example.org/slow HTTP/2.0"',
        {
            "time": _T,
            "client": "::1",
            "method": "GET",
            "host": "gw.example.org",
            "path": "/slow",
            "route": "/slow",
            "service": "app",
            "instance": "app1",
            "status": 504,
            "duration_ms": 5003.0,
            "bytes_sent": 217,
            "outcome": "timeout",
            "outcome_reason": "termination_state=sH--",
        },
    ),
    Sample(
        "haproxy_http",
        b"10.0.0.7:33317 [31/Jan/2026:10:00:00.000] in in/<NOSRV> -1/-1/-1/-1/0 -1 0 - - CR-- "
        b'2/2/0/0/0 0/0 "<BADREQ>"',
        {
            "time": _T,
            "client": "10.0.0.7",
            "service": "in",
            "duration_ms": 0.0,
            "bytes_sent": 0,
            "outcome": "timeout",
            "outcome_reason": "termination_state=CR--",
        },
    ),
    Sample(
        "haproxy_tcp",
        b"10.0.0.7:33313 [31/Jan/2026:10:00:00.000] fnt bck/srv1 0/0/5007 212 sD 0/0/0/0/3 0/0",
        {
            "time": _T,
            "client": "10.0.0.7",
            "service": "bck",
            "instance": "srv1",
            "duration_ms": 5007.0,
            "bytes_sent": 212,
            "outcome": "timeout",
            "outcome_reason": "termination_state=sD",
        },
    ),
    Sample(
        "mapped_json",
        _json(
            ts=1769853600123,
            peer={"ip": "10.0.0.7"},
            http={"verb": "GET", "url": "https://gw.example.org/a?x=y", "code": 200},
            took=1500,
            app="shop",
            tags=["x", "a-route"],
            error={"kind": "deadline"},
            **{"size.out": 12},
        ),
        {
            "time": "2026-01-31T10:00:00.123000+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "host": "gw.example.org",
            "path": "/a",
            "status": 200,
            "duration_ms": 1.5,
            "bytes_sent": 12,
            "service": "shop",
            "route": "a-route",
            "outcome": "timeout",
            "outcome_reason": "error.kind=deadline",
        },
        OPTIONS["mapped_json"],
    ),
]
