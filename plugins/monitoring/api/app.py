"""The FastAPI app that Airflow mounts at /monitoring."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from monitoring.api import alerts, callbacks, chain_status, problems


@cache
def create_app(*, reader: Callable[..., Any]) -> FastAPI:
    """The app; the same one for the same ``reader``, as Airflow asks for it more than once.

    Args:
        reader: a FastAPI dependency that raises for whoever may not read. There is no default:
            an app that is open to everyone has to say so. It is asked by every route but those
            of ``monitoring.api.callbacks``.
    """
    # FastAPI's own documentation routes take no dependencies and would be open to everyone.
    app = FastAPI(title="Monitoring", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    closed = APIRouter(dependencies=[Depends(reader)])
    closed.include_router(alerts.router, prefix="/api/v1")
    closed.include_router(chain_status.router, prefix="/api/v1")

    @closed.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return app.openapi()

    app.include_router(closed)
    # the only open ones: they ask for the token out of a message
    app.include_router(callbacks.callbacks, prefix="/api/v1")
    app.include_router(callbacks.pages)
    return app
