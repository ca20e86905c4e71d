"""Routes for whoever watches the server: open, as probes have no key, and telling nothing else."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from monitoring.api.store import StoreDep
from userdb.migrate import require_current

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The server answers."""

    status: Literal["ok"] = "ok"


@router.get("/health")
async def health() -> Health:
    """Whether this process answers."""
    return Health()


@router.get("/ready", responses={503: {"description": "userdb can't be used"}})
def ready(store: StoreDep) -> Health:
    """Whether userdb can be reached, and has the schema that the code needs."""
    require_current(store)
    return Health()
