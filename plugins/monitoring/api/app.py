"""The FastAPI app: mounted by Airflow at /monitoring, or served by itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from monitoring.api import (
    acts,
    alerts,
    callbacks,
    chain_status,
    health,
    metrics,
    policies,
    problems,
    signals,
    silences,
)
from monitoring.api.access import Login, requires
from monitoring.api.body import BodyLimit
from monitoring.api.openapi import describe
from monitoring.api.rate_limit import RateLimiter

_API = "/api/v1"


@cache
def create_app(*, login: Login | None) -> FastAPI:
    """The app; the same one for the same ``login``, as Airflow asks for it more than once.

    Every route but the last three routers' states its scope by ``access.requires``.

    Args:
        login: who of the people may do what; None: machines' keys alone open it.
    """
    # FastAPI's own documentation routes take no dependencies and would be open to everyone.
    app = FastAPI(title="Monitoring", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.login = login
    app.state.limiter = RateLimiter()
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.include_router(alerts.router, prefix=_API)
    app.include_router(acts.router, prefix=_API)
    app.include_router(silences.router, prefix=_API)
    app.include_router(signals.router, prefix=_API)
    app.include_router(policies.router, prefix=_API)
    app.include_router(chain_status.router, prefix=_API)
    app.include_router(metrics.router)
    app.include_router(_documentation(app))
    # the only open ones: who sent them, or what they tell, is no secret
    app.include_router(callbacks.callbacks, prefix=_API)
    app.include_router(callbacks.pages)
    app.include_router(health.router)
    return app


def standalone() -> FastAPI:
    """The app for a server of its own: without Airflow's login."""
    return create_app(login=None)


def _documentation(app: FastAPI) -> APIRouter:
    router = APIRouter(dependencies=[Depends(requires("read"))])

    @router.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return describe(app)

    return router
