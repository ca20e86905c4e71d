"""The table for Traefik's HTTP provider (version 3's rules). Pure.

Traefik hashes the answer's bytes, so the same table is always the same bytes. Empty maps are
errors to it: they are left out, and ``{}`` is an empty table.
"""

from __future__ import annotations

import json
import re
from typing import Any

from monitoring.gateway.snapshot import Snapshot, Upstream
from monitoring.routes.definition import RouteSpec

#: In the place of servers where a service has none in service: nobody listens there, so that
#: Traefik answers 502. Without a router, the requests would go to the next route that matches.
NOBODY = "http://127.0.0.1:9"


def render(snapshot: Snapshot) -> bytes:
    """The dynamic configuration, as JSON."""
    http: dict[str, dict[str, Any]] = {
        "routers": {},
        "services": {},
        "middlewares": {},
        "serversTransports": {},
    }
    for place, route in enumerate(snapshot.routes):
        router: dict[str, Any] = {
            "rule": rule(route),
            # the first in the table's order has the highest; Traefik takes 0 for none
            "priority": len(snapshot.routes) - place,
            "service": _service_name(route),
        }
        if route.strip_prefix and route.path != "/":
            middleware = f"{route.name}~strip"
            http["middlewares"][middleware] = {"stripPrefix": {"prefixes": [route.path]}}
            router["middlewares"] = [middleware]
        http["routers"][route.name] = router
        upstream = snapshot.upstreams.get(route.service, Upstream(()))
        http["services"][_service_name(route)] = {"loadBalancer": _load_balancer(route, upstream)}
        if route.timeout_ms is not None:
            http["serversTransports"][_transport(route.timeout_ms)] = {
                "forwardingTimeouts": {
                    "dialTimeout": f"{min(route.timeout_ms, 5000)}ms",
                    "responseHeaderTimeout": f"{route.timeout_ms}ms",
                }
            }
    full = {name: entries for name, entries in http.items() if entries}
    document = {"http": full} if full else {}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def rule(route: RouteSpec) -> str:
    """The route's match in Traefik's words."""
    parts = [_path(route)]
    if route.hosts:
        parts.insert(0, _any(_host(host) for host in route.hosts))
    if route.methods:
        parts.append(_any(f"Method(`{method}`)" for method in route.methods))
    parts += [f"Header(`{name}`, `{value}`)" for name, value in sorted(route.headers.items())]
    return " && ".join(parts)


def _any(alternatives: Any) -> str:
    found = list(alternatives)
    return found[0] if len(found) == 1 else f"({' || '.join(found)})"


def _host(host: str) -> str:
    if host.startswith("*."):
        return f"HostRegexp(`^[^.]+{re.escape(host[1:])}$`)"
    return f"Host(`{host}`)"


def _path(route: RouteSpec) -> str:
    if route.path_type == "regex":
        return f"PathRegexp(`^(?:{route.path})$`)"
    if route.path_type == "exact":
        return f"Path(`{route.path}`)"
    if route.path == "/":
        return "PathPrefix(`/`)"
    # PathPrefix(`/api`) alone would take /apis too
    return f"(Path(`{route.path}`) || PathPrefix(`{route.path}/`))"


def _service_name(route: RouteSpec) -> str:
    """A Traefik service for each time limit, as the limit belongs to it."""
    if route.timeout_ms is None:
        return route.service
    return f"{route.service}~{route.timeout_ms}ms"


def _transport(timeout_ms: int) -> str:
    return f"timeout~{timeout_ms}ms"


def _load_balancer(route: RouteSpec, upstream: Upstream) -> dict[str, Any]:
    servers = [{"url": f"http://{server.endpoint}"} for server in upstream.servers]
    found: dict[str, Any] = {"servers": servers or [{"url": NOBODY}]}
    check = upstream.health_check
    if servers and check is not None and check.kind == "http":
        found["healthCheck"] = {"path": check.path, "timeout": f"{check.timeout_s:g}s"}
    if route.timeout_ms is not None:
        found["serversTransport"] = _transport(route.timeout_ms)
    return found
