"""Logins of people, as Airflow's would answer."""

from __future__ import annotations

from fastapi import HTTPException, Request
from monitoring.api.access import Principal, Scope


async def anyone(_request: Request, _scope: Scope) -> Principal:
    """Lets everyone do everything."""
    return Principal("user:tester")


async def viewer(_request: Request, scope: Scope) -> Principal:
    """Lets everyone read."""
    if scope != "read":
        raise HTTPException(403, "viewers only read")
    return Principal("user:viewer")


async def nobody(_request: Request, _scope: Scope) -> Principal:
    """Lets nobody in."""
    raise HTTPException(401, "Not authenticated")
