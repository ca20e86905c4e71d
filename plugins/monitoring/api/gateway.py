"""Routes: the table for gateways that ask for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Response

from monitoring.api.access import requires
from monitoring.api.store import ConnectionDep
from monitoring.gateway.read import read_snapshot
from monitoring.gateway.traefik import render

router = APIRouter(tags=["gateway"], dependencies=[Depends(requires("read"))])

_TRAEFIK: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Dynamic configuration; the same table is the same bytes",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "http": {
                        "routers": {
                            "sim-api": {
                                "priority": 1,
                                "rule": "(Path(`/sim`) || PathPrefix(`/sim/`))",
                                "service": "sim-runner",
                            }
                        },
                        "services": {
                            "sim-runner": {
                                "loadBalancer": {"servers": [{"url": "http://10.0.0.7:8080"}]}
                            }
                        },
                    }
                },
            }
        },
    }
}


@router.get(
    "/gateway/traefik",
    summary="The table for Traefik's HTTP provider",
    response_class=Response,
    responses=_TRAEFIK,
)
def traefik(connection: ConnectionDep) -> Response:
    """Always 200 with the whole table: Traefik takes any other status, 304 too, for an error."""
    body = render(read_snapshot(connection, now=datetime.now(UTC)))
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
