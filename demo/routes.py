"""The routes of the demo's gateway: one table for nginx, the built-in gateway and the traffic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """A path prefix that the gateway sends to a service.

    ``protected`` routes ask for a name and password at the gateway itself (basic auth).
    """

    name: str
    prefix: str
    service: str
    protected: bool = False


ROUTES = (
    Route("simulations", "/simulations/", "sim-runner"),
    Route("files", "/files/", "files"),
    Route("sessions", "/sessions/", "auth"),
    Route("admin", "/admin/", "admin", protected=True),
)

#: How long the gateway waits for a service: short, so that an incident of minutes shows.
UPSTREAM_TIMEOUT_S = 3

#: The one account of the protected routes. It opens nothing but the demo's own loopback gateway.
ADMIN = ("operator", "demo")


def route_of(path: str) -> Route | None:
    """The route that ``path`` belongs to."""
    return next((route for route in ROUTES if path.startswith(route.prefix)), None)
