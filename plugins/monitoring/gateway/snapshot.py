"""What a gateway has to know: the routes in their order, and where each service is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from monitoring.registry.definition import HealthCheck, host_port
from monitoring.routes.definition import RouteSpec


@dataclass(frozen=True, order=True)
class Server:
    """Where an instance listens."""

    address: str
    port: int

    @property
    def endpoint(self) -> str:
        return host_port(self.address, self.port)


@dataclass(frozen=True)
class Upstream:
    """A service's instances that are in service, sorted.

    ``health_check`` is theirs where all have the same one.
    """

    servers: tuple[Server, ...]
    health_check: HealthCheck | None = None


@dataclass(frozen=True)
class Snapshot:
    """``routes``: the enabled ones in the table's order. ``upstreams``: of their services."""

    routes: tuple[RouteSpec, ...]
    upstreams: Mapping[str, Upstream]


def resolved(
    snapshot: Snapshot, lookup: Callable[[str], Sequence[str]]
) -> tuple[Snapshot, list[str]]:
    """``snapshot`` with IP addresses in the place of hosts' names, and the names without any.

    nginx doesn't start where it can't find a name: its instances are left out.

    Args:
        lookup: a name's addresses; raises OSError where it has none.
    """
    unknown: set[str] = set()
    upstreams = {}
    for service, upstream in snapshot.upstreams.items():
        servers: set[Server] = set()
        for server in upstream.servers:
            if _is_address(server.address):
                servers.add(server)
                continue
            try:
                found = lookup(server.address)
            except OSError:
                unknown.add(server.address)
                continue
            servers.update(Server(address, server.port) for address in found)
        upstreams[service] = replace(upstream, servers=tuple(sorted(servers)))
    return replace(snapshot, upstreams=upstreams), sorted(unknown)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
