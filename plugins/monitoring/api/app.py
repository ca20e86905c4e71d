"""The FastAPI app: mounted by Airflow at /monitoring, or served by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from monitoring.api import (
    acts,
    alert_page,
    alerts,
    audit,
    callbacks,
    chain_status,
    events,
    gateway,
    health,
    metrics,
    otlp,
    policies,
    problems,
    pull,
    push,
    registry,
    requests,
    routes,
    sentry,
    signals,
    silences,
)
from monitoring.api.access import KnownKeys, Login, requires
from monitoring.api.body import BodyLimit
from monitoring.api.openapi import describe
from monitoring.api.rate_limit import RateLimiter
from monitoring.api.received import ReceivedEvents
from monitoring.intake.airflow_runs import ChainRuns, RestRuns
from monitoring.intake.urgent import UrgentRuns

_API = "/api/v1"


@cache
def create_app(
    *,
    login: Login | None,
    runs: Callable[[], ChainRuns | None] = RestRuns.from_environment,
) -> FastAPI:
    """The app; the same one for the same ``login``, as Airflow asks for it more than once.

    Every route but the last three routers' states its scope by ``access.requires``.

    Args:
        login: who of the people may do what; None: machines' keys alone open it.
        runs: gives where urgent events run the chain; None: nowhere, they wait for its schedule.
    """
    # FastAPI's own documentation routes take no dependencies and would be open to everyone.
    app = FastAPI(title="Monitoring", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.login = login
    app.state.limiter = RateLimiter()
    app.state.known_keys = KnownKeys()
    app.state.received = ReceivedEvents()
    # by userdb's URL, what /metrics has summed of it
    app.state.ledger_sums = {}
    app.state.urgent = UrgentRuns(runs, clock=lambda: datetime.now(UTC))
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.include_router(alerts.router, prefix=_API)
    app.include_router(acts.router, prefix=_API)
    app.include_router(alert_page.router)
    app.include_router(silences.router, prefix=_API)
    app.include_router(signals.router, prefix=_API)
    app.include_router(policies.router, prefix=_API)
    app.include_router(chain_status.router, prefix=_API)
    app.include_router(requests.router, prefix=_API)
    app.include_router(registry.router)
    app.include_router(routes.router)
    app.include_router(gateway.router)
    app.include_router(audit.router)
    app.include_router(events.router, prefix=_API)
    # at the paths that OpenTelemetry's exporters and Sentry's SDKs make by themselves
    app.include_router(otlp.router)
    app.include_router(sentry.router)
    app.include_router(push.router, prefix=_API)
    app.include_router(pull.router, prefix=_API)
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
