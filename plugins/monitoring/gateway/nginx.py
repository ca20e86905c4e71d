"""The table as a configuration of nginx, for its ``http`` block. Pure.

nginx asks its locations in an order of its own, which knows no methods, headers or priorities. So
one ``map`` decides: its regular expressions are tried in the order in which they stand, on a line
of method, host, headers and path. Each route has a named location; requests get there by
``try_files``, which doesn't change their URI.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from monitoring.gateway.snapshot import Snapshot, Upstream
from monitoring.routes.definition import RouteSpec
from userdb.errors import ConfigError

#: nginx takes no word of its configuration over 4096 bytes, and one of ours names them all.
MAX_HEADERS = 200
#: What requests without a route have as its name; no route can be called so.
NO_ROUTE = "-"

Header = tuple[str, str]


def render(
    snapshot: Snapshot,
    *,
    log_format: str,
    listen: str = "8080",
    access_log: str = "/var/log/nginx/access.log",
) -> str:
    """What a file in nginx's ``conf.d`` holds. The same table is always the same text.

    Args:
        log_format: the directive whose format is named ``monitoring``.

    Raises:
        ConfigError: ``listen`` or ``access_log`` is not valid, or routes ask for too many headers.
    """
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]*_-]+", listen):
        raise ConfigError(f"listen: {listen!r} is no address: write 8080 or 127.0.0.1:8080")
    if not re.fullmatch(r"[A-Za-z0-9._/+:@-]+", access_log):
        raise ConfigError(f"access log: {access_log!r} is no path that nginx takes as it stands")
    headers = sorted({pair for route in snapshot.routes for pair in route.headers.items()})
    if len(headers) > MAX_HEADERS:
        raise ConfigError(
            f"routes ask for {len(headers)} different headers or values; nginx takes at most "
            f"{MAX_HEADERS}"
        )
    used = sorted({route.service for route in snapshot.routes})
    lines = [
        "# Written by `monitoring gateway render nginx`: changes made here are lost.",
        *_log_format(log_format).splitlines(),
        *_maps(snapshot.routes, headers),
    ]
    for service in used:
        lines += _upstream(service, snapshot.upstreams.get(service, Upstream(())))
    lines += [
        "server {",
        f"    listen {listen} default_server;",
        "    server_name _;",
        "    root /nonexistent;",
        f"    access_log {access_log} monitoring;",
        "    location / { try_files /nothing @$monitoring_route; }",
        f"    location @{NO_ROUTE} {{ return 404; }}",
    ]
    for route in sorted(snapshot.routes, key=lambda one: one.name):
        upstream = snapshot.upstreams.get(route.service)
        lines += _location(route, served=upstream is not None and bool(upstream.servers))
    return "\n".join([*lines, "}", ""])


def route_patterns(routes: Sequence[RouteSpec], headers: Sequence[Header]) -> list[tuple[str, str]]:
    """Regular expressions (PCRE) over ``method\\nhost\\nheaders\\npath``, each with its route.

    The part of the headers has a 1 for each pair of ``headers`` that the request has, else a 0.
    The first that matches decides.
    """
    found = []
    for route in routes:
        method = f"(?:{'|'.join(route.methods)})" if route.methods else r"[^\n]*"
        wanted = [pair in route.headers.items() for pair in headers]
        flags = "".join("1" if one else "." for one in wanted)
        # a line for each host: all of them might be too long a word
        for host in route.hosts or [""]:
            line = "\\n".join((method, _host(host), flags, _path(route)))
            found.append((f"^{line}", route.name))
    return found


def _maps(routes: Sequence[RouteSpec], headers: Sequence[Header]) -> Iterator[str]:
    for number, (name, value) in enumerate(headers):
        variable = "$http_" + name.replace("-", "_")
        yield from _map(variable, f"$monitoring_h{number}", "0", [(f"^{_escape(value)}\\z", "1")])
    flags = "".join(f"$monitoring_h{number}" for number in range(len(headers)))
    yield from _map(
        f'"$request_method\\n$host\\n{flags}\\n$uri"',
        "$monitoring_route",
        NO_ROUTE,
        route_patterns(routes, headers),
    )
    services = [
        (f"^{_escape(route.name)}\\z", route.service)
        for route in sorted(routes, key=lambda one: one.name)
    ]
    yield from _map("$monitoring_route", "$monitoring_service", NO_ROUTE, services)


def _map(
    source: str, variable: str, default: str, patterns: Iterable[tuple[str, str]]
) -> Iterator[str]:
    yield f"map {source} {variable} {{"
    yield f'    default "{default}";'
    for pattern, value in patterns:
        # nginx compares plain words without regard to case, regular expressions with it
        yield f'    {_quoted("~" + pattern)} "{value}";'
    yield "}"


def _upstream(service: str, upstream: Upstream) -> Iterator[str]:
    if upstream.servers:
        yield f"upstream {_upstream_name(service)} {{"
        for server in upstream.servers:
            yield f"    server {server.endpoint};"
        yield "}"


def _location(route: RouteSpec, *, served: bool) -> Iterator[str]:
    yield f"    location @{route.name} {{"
    if served:
        if route.strip_prefix and route.path != "/":
            pattern = f"(?s)^{_escape(route.path)}(?:/(.*))?\\z"
            yield f"        rewrite {_quoted(pattern)} /$1 break;"
        yield f"        proxy_pass http://{_upstream_name(route.service)};"
        yield "        proxy_http_version 1.1;"
        yield '        proxy_set_header Connection "";'
        yield "        proxy_set_header Host $host;"
        yield "        proxy_set_header X-Request-Id $request_id;"
        yield "        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        yield "        proxy_set_header X-Forwarded-Proto $scheme;"
        if route.timeout_ms is not None:
            yield f"        proxy_connect_timeout {min(route.timeout_ms, 5000)}ms;"
            for name in ("proxy_send_timeout", "proxy_read_timeout", "proxy_next_upstream_timeout"):
                yield f"        {name} {route.timeout_ms}ms;"
    else:
        yield "        return 503; # no instance of its service is in service"
    yield "    }"


def _log_format(directive: str) -> str:
    """The log format, with the names of service and route that the table knows."""
    head, end, _ = directive.rstrip().rpartition("}';")
    if not end or not head.startswith("log_format monitoring "):
        raise ConfigError("the log format is not the directive of the format `monitoring`")
    return f'{head},\'\n  \'"service":"$monitoring_service","route":"$monitoring_route"}}\';'


def _upstream_name(service: str) -> str:
    """nginx takes names that differ in case alone for one."""
    if service == service.lower():
        return service
    return f"{service.lower()}~{hashlib.sha256(service.encode()).hexdigest()[:8]}"


def _host(host: str) -> str:
    if not host:
        return r"[^\n]*"
    return rf"[^.\n]+{_escape(host[1:])}" if host.startswith("*.") else _escape(host)


def _path(route: RouteSpec) -> str:
    if route.path_type == "regex":
        return f"(?:{route.path})\\z"
    path = _escape(route.path)
    if route.path_type == "exact":
        return f"{path}\\z"
    return path if path == "/" else f"{path}(?:/|\\z)"


def _escape(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9_/-])", r"\\\1", text)


def _quoted(text: str) -> str:
    """A word in quotes: nginx takes a backslash before a quote or another one away."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
