"""Requests written as each gateway writes them: the plain, slow way round, for comparison.

A writer gives a line, and the columns that a reader of it must find. Nothing of what is tested is
used here: no regular expression, no SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Request:
    """What a gateway knows of a request. Durations are whole microseconds; -1 is unknown."""

    at_us: int
    client: str
    proxies: tuple[str, ...]
    method: str
    path: str
    query: str
    host: str
    status: int
    duration_us: int
    size: int
    user: str
    agent: str
    request_id: str
    service: str
    route: str
    upstream: str
    #: of the clock that the gateway writes by
    offset_min: int

    @property
    def target(self) -> str:
        return self.path + self.query

    @property
    def at(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.at_us)

    @property
    def ms(self) -> float | None:
        return None if self.duration_us < 0 else self.duration_us / 1000

    def local(self) -> datetime:
        return self.at.astimezone(timezone(timedelta(minutes=self.offset_min)))


#: The line; and the columns, but for those that are null: ``at_us`` and the names of FIELDS.
Written = tuple[bytes, Mapping[str, Any]]

_OUTCOMES = {401: "auth_failure", 403: "auth_failure", 408: "timeout", 499: "timeout"}
_OUTCOMES[504] = "timeout"


def outcome_of(status: int) -> str:
    if status in _OUTCOMES:
        return _OUTCOMES[status]
    if status >= 500:
        return "server_error"
    return "client_error" if status >= 400 or status < 100 else "ok"


def _told(request: Request) -> dict[str, Any]:
    """Columns that most formats tell as they are."""
    return {
        "client": request.client,
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "bytes_sent": request.size,
        "user_agent": request.agent,
        "request_id": request.request_id,
    }


def _cut_ms(request: Request) -> float | None:
    return None if request.duration_us < 0 else float(request.duration_us // 1000)


def _by_status(name: str, request: Request, **columns: Any) -> dict[str, Any]:
    return {
        "outcome": outcome_of(request.status),
        "outcome_reason": f"{name}={request.status}",
        "status": request.status,
        **columns,
    }


def _month(at: datetime) -> str:
    # not %b, which depends on the locale
    return "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * at.month - 3 : 3 * at.month]


def _clf_time(request: Request) -> str:
    at = request.local()
    return f"{at:%d}/{_month(at)}/{at:%Y:%H:%M:%S} {at:%z}"


def _whole_seconds(request: Request) -> int:
    return request.at_us // 1_000_000 * 1_000_000


def _whole_ms(request: Request) -> int:
    return request.at_us // 1_000 * 1_000


def _hex(text: str, mark: str, escaped: str) -> str:
    """Bytes that are not printable ASCII, and ``escaped``, as two digits after ``mark``."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in escaped else f"{mark}{byte:02X}"
        for byte in text.encode()
    )


def _nginx_escaped(text: str) -> str:
    return _hex(text, "\\x", '"\\')


def _apache_escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return _hex(plain, "\\x", "")


def _dash(text: str) -> str:
    return text or "-"


def _iso(request: Request) -> str:
    return request.local().isoformat(timespec="microseconds")


def nginx_combined(request: Request) -> Written:
    agent, target = _nginx_escaped(request.agent), _nginx_escaped(request.target)
    line = (
        f"{request.client} - {_dash(_nginx_escaped(request.user))} [{_clf_time(request)}] "
        f'"{request.method} {target} HTTP/1.1" {request.status:03} {request.size} "-" '
        f'"{_dash(agent)}"'
    )
    return line.encode(), _by_status(
        "status",
        request,
        at_us=_whole_seconds(request),
        client=request.client,
        user=_nginx_escaped(request.user),
        method=request.method,
        path=target.split("?")[0],
        bytes_sent=request.size,
        user_agent=agent,
    )


def apache_combined(request: Request) -> Written:
    agent, target = _apache_escaped(request.agent), _apache_escaped(request.target)
    size = str(request.size) if request.size else "-"
    line = (
        f"{request.client} - {_dash(_apache_escaped(request.user))} [{_clf_time(request)}] "
        f'"{request.method} {target} HTTP/1.1" {request.status} {size} "http://x/" '
        f'"{_dash(agent)}"'
    )
    return line.encode(), _by_status(
        "status",
        request,
        at_us=_whole_seconds(request),
        client=request.client,
        user=_apache_escaped(request.user),
        method=request.method,
        path=target.split("?")[0],
        bytes_sent=request.size or None,
        user_agent=agent,
    )


def apache_common(request: Request) -> Written:
    line, columns = apache_combined(request)
    return line[: line.index(b' "http://x/"')], {**columns, "user_agent": None}


def traefik_json(request: Request) -> Written:
    record = {
        "StartUTC": request.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "ClientHost": ", ".join([request.client, *request.proxies]),
        "ClientUsername": _dash(request.user),
        "RequestMethod": request.method,
        "RequestHost": request.host,
        "RequestPath": request.target,
        "DownstreamStatus": request.status,
        "DownstreamContentSize": request.size,
        "Duration": request.duration_us * 1000,
        "RouterName": request.route,
        "request_User-Agent": request.agent,
    }
    if request.upstream:
        record |= {
            "ServiceAddr": request.upstream,
            "ServiceName": request.service,
            "OriginStatus": 200,
        }
    return json.dumps(record).encode(), _by_status(
        "DownstreamStatus",
        request,
        at_us=request.at_us,
        client=request.client,
        user=request.user,
        method=request.method,
        host=request.host,
        path=request.path,
        duration_ms=request.ms,
        bytes_sent=request.size,
        route=request.route,
        user_agent=request.agent,
        service=request.service if request.upstream else None,
        instance=request.upstream,
    )


def traefik_clf(request: Request) -> Written:
    agent = f'"{request.agent}"' if request.agent else '"-"'
    upstream = f'"http://{request.upstream}"' if request.upstream else '"-"'
    line = (
        f"{request.client} - {_dash(request.user)} [{_clf_time(request)}] "
        f'"{request.method} {request.target} HTTP/1.1" {request.status} {request.size} "-" '
        f'{agent} 17 "{_dash(request.route)}" {upstream} {request.duration_us // 1000}ms'
    )
    return line.encode(), _by_status(
        "status",
        request,
        at_us=_whole_seconds(request),
        client=request.client,
        user=request.user,
        method=request.method,
        path=request.path,
        duration_ms=_cut_ms(request),
        bytes_sent=request.size,
        route=request.route,
        user_agent=request.agent,
        instance=request.upstream,
    )


def caddy_json(request: Request) -> Written:
    record = {
        "level": "info",
        "ts": request.at_us / 1e6,
        "logger": "http.log.access",
        "request": {
            "remote_ip": "192.0.2.1",
            "client_ip": request.client,
            "method": request.method,
            "host": request.host,
            "uri": request.target,
            "headers": {"User-Agent": [request.agent], "X-Request-Id": [request.request_id]},
        },
        "user_id": request.user,
        "duration": request.duration_us / 1e6,
        "size": request.size,
        "status": request.status,
    }
    return json.dumps(record, ensure_ascii=False).encode(), _by_status(
        "status",
        request,
        **_told(request),
        at_us=request.at_us,
        user=request.user,
        duration_ms=request.ms,
    )


def _envoy_columns(request: Request, **columns: Any) -> dict[str, Any]:
    return _by_status(
        "response_code",
        request,
        **_told(request),
        at_us=_whole_ms(request),
        duration_ms=_cut_ms(request),
        instance=request.upstream,
        **columns,
    )


def envoy_json(request: Request) -> Written:
    record = {
        "start_time": request.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "x_forwarded_for": ",".join([request.client, *request.proxies]),
        "method": request.method,
        "authority": request.host,
        "path": request.target,
        "response_code": request.status,
        "response_flags": "-",
        "duration": request.duration_us // 1000,
        "bytes_sent": request.size,
        "user_agent": request.agent or None,
        "request_id": request.request_id or None,
        "upstream_host": request.upstream or None,
        "upstream_cluster": request.service or None,
        "route_name": request.route or None,
    }
    return json.dumps(record).encode(), _envoy_columns(
        request, service=request.service, route=request.route
    )


def envoy_text(request: Request) -> Written:
    at = request.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    forwarded = ",".join([request.client, *request.proxies])
    line = (
        f'[{at}] "{request.method} {request.target} HTTP/2" {request.status} - 17 {request.size} '
        f'{request.duration_us // 1000} - "{forwarded}" "{_dash(request.agent)}" '
        f'"{_dash(request.request_id)}" "{_dash(request.host)}" "{_dash(request.upstream)}"'
    ).replace(" -1 - ", " - - ")
    return line.encode(), _envoy_columns(request)


def kong_json(request: Request) -> Written:
    ip, _, port = request.upstream.rpartition(":")
    record = {
        "started_at": request.at_us // 1000,
        "client_ip": request.client,
        "request": {
            "method": request.method,
            "uri": request.target,
            "id": request.request_id,
            "headers": {"host": request.host, "user-agent": request.agent},
        },
        "response": {"status": request.status, "size": str(request.size)},
        "latencies": {"request": request.duration_us // 1000, "kong": 1, "proxy": -1},
        "tries": [{"ip": ip.strip("[]"), "port": int(port)}] if request.upstream else [],
    }
    if request.service:
        record["service"] = {"name": request.service}
    if request.route:
        record["route"] = {"name": request.route}
    if request.user:
        record["consumer"] = {"username": request.user}
    return json.dumps(record).encode(), _by_status(
        "response.status",
        request,
        **_told(request),
        at_us=_whole_ms(request),
        user=request.user,
        duration_ms=_cut_ms(request),
        service=request.service,
        route=request.route,
        instance=request.upstream,
    )


def apisix_json(request: Request) -> Written:
    record = {
        "start_time": request.at_us / 1000,
        "client_ip": request.client,
        "request": {
            "method": request.method,
            "uri": request.target,
            "headers": {"host": request.host, "user-agent": request.agent},
        },
        "response": {"status": request.status, "size": request.size},
        "latency": request.duration_us / 1000,
        "service_id": request.service,
        "route_id": request.route,
    }
    if request.upstream:
        record["upstream"] = request.upstream
    if request.user:
        record["consumer"] = {"username": request.user}
    return json.dumps(record, ensure_ascii=False).encode(), _by_status(
        "response.status",
        request,
        at_us=request.at_us,
        client=request.client,
        user=request.user,
        method=request.method,
        host=request.host,
        path=request.path,
        duration_ms=request.ms,
        bytes_sent=request.size,
        user_agent=request.agent,
        service=request.service,
        route=request.route,
        instance=request.upstream,
    )


def haproxy_http(request: Request) -> Written:
    at = request.at
    target = _hex(request.target, "#", '"#')
    ms = request.duration_us // 1000
    line = (
        f"{request.client}:4711 [{at:%d}/{_month(at)}/{at:%Y:%H:%M:%S}.{at.microsecond // 1000:03}]"
        f" in {request.service or 'app'}/{request.upstream or '<NOSRV>'} 0/0/1/-1/{ms} "
        f"{request.status or -1} {request.size} - - ---- 1/1/0/0/0 0/0 "
        f'"{request.method} {target} HTTP/1.1"'
    )
    columns = _by_status(
        "status_code",
        request,
        at_us=_whole_ms(request),
        client=request.client,
        method=request.method,
        path=target.split("?")[0],
        duration_ms=None if request.duration_us < 0 else float(ms),
        bytes_sent=request.size,
        service=request.service or "app",
        instance=request.upstream,
    )
    if not request.status:
        columns |= {"status": None, "outcome_reason": "termination_state=----"}
    return line.encode(), columns


def haproxy_tcp(request: Request) -> Written:
    line, columns = haproxy_http(request)
    head, _, rest = line.partition(b" 0/0/1/-1/")
    ms = rest.split()[0]
    line = b"%s 1/0/%s %d -- 1/1/0/0/0 0/0" % (head, ms, request.size)
    return line, {
        **columns,
        "method": None,
        "path": None,
        "status": None,
        "outcome": "ok",
        "outcome_reason": "termination_state=--",
    }


def nginx_json(request: Request) -> Written:
    record = {
        "time": f"{request.at_us // 1_000_000}.{request.at_us // 1000 % 1000:03}",
        "remote_addr": request.client,
        "remote_user": request.user,
        "request_method": request.method,
        "host": request.host,
        "request_uri": request.target,
        "status": f"{request.status:03}",
        "body_bytes_sent": str(request.size),
        "request_time": "" if request.duration_us < 0 else f"{request.duration_us / 1e6:.6f}",
        "upstream_addr": request.upstream and f"192.0.2.9:1, {request.upstream}",
        "http_user_agent": request.agent,
        "request_id": request.request_id,
    }
    return json.dumps(record).encode(), _by_status(
        "status",
        request,
        **_told(request),
        at_us=_whole_ms(request),
        user=request.user,
        duration_ms=request.ms,
        instance=request.upstream,
    )


def nginx_error(request: Request) -> Written:
    line = (
        f'{request.at:%Y/%m/%d %H:%M:%S} [error] 7#7: *1 user "{request.user or "u"}": password '
        f"mismatch, client: {request.client}, server: {request.host}, "
        f'request: "{request.method} {request.target} HTTP/1.1", host: "{request.host}"'
    )
    return line.encode(), {
        "at_us": _whole_seconds(request),
        "client": request.client,
        "user": request.user or "u",
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "outcome": "auth_failure",
        "outcome_reason": "message=password mismatch",
    }


def nginx_log_format(request: Request) -> Written:
    """As ingress-nginx does it, in the string of ``samples.OPTIONS``."""
    agent, target = _nginx_escaped(request.agent), _nginx_escaped(request.target)
    user, ms = _nginx_escaped(request.user), request.duration_us // 1000
    length = "-" if not request.upstream else f"0, {request.size}"
    line = (
        f"{request.client} - {_dash(user)} [{_clf_time(request)}] "
        f'"{request.method} {target} HTTP/2.0" {request.status:03} {request.size} "-" '
        f'"{_dash(agent)}" 321 {"-" if ms < 0 else f"{ms / 1000:.3f}"} [{request.service}] [] '
        f"{f'192.0.2.9:1, {request.upstream}' if request.upstream else '-'} {length} "
        f"{'0.001, 0.002' if request.upstream else '-'} "
        f"{'502, 200' if request.upstream else '-'} {_dash(request.request_id)}"
    )
    return line.encode(), _by_status(
        "status",
        request,
        at_us=_whole_seconds(request),
        client=request.client,
        user=user,
        method=request.method,
        path=target.split("?")[0],
        duration_ms=None if ms < 0 else float(ms),
        bytes_sent=request.size,
        user_agent=agent,
        request_id=request.request_id,
        service=request.service,
        instance=request.upstream,
    )


def apache_log_format(request: Request) -> Written:
    """The string of ``samples.OPTIONS``: combined, and what it lacks."""
    line, columns = apache_combined(request)
    head, _, rest = line.partition(f" {request.size or '-'} ".encode() + b'"http://x/"')
    took = str(request.duration_us) if request.duration_us >= 0 else "-"
    more = f' {took} {request.host} "{_dash(request.request_id)}"'
    line = head + f' {request.size} "http://x/"'.encode() + rest + more.encode()
    return line, {
        **columns,
        "bytes_sent": request.size,
        "duration_ms": request.ms,
        "host": request.host,
        "request_id": request.request_id,
    }


def mapped_json(request: Request) -> Written:
    """The keys of ``samples.OPTIONS``."""
    record = {
        "ts": request.at_us / 1000,
        "peer": {"ip": ", ".join([request.client, *request.proxies])},
        "http": {"verb": request.method, "path": request.target, "code": request.status},
        "took": request.duration_us,
        "size.out": request.size,
        "app": request.service,
        "tags": ["first", request.route],
    }
    return json.dumps(record).encode(), _by_status(
        "http.code",
        request,
        at_us=request.at_us,
        client=request.client,
        method=request.method,
        path=request.path,
        duration_ms=request.ms,
        bytes_sent=request.size,
        service=request.service,
        route=request.route,
    )


WRITERS: dict[str, Callable[[Request], Written]] = {
    writer.__name__: writer
    for writer in (
        nginx_combined,
        nginx_json,
        nginx_error,
        apache_common,
        apache_combined,
        traefik_json,
        traefik_clf,
        caddy_json,
        envoy_json,
        envoy_text,
        kong_json,
        apisix_json,
        haproxy_http,
        haproxy_tcp,
        nginx_log_format,
        apache_log_format,
        mapped_json,
    )
}


def told(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns, where "-" and empty text mean that the log doesn't tell."""
    return {name: None if value in ("", "-") else value for name, value in columns.items()}
