"""People by Airflow's login: the only module that touches Airflow's security.

Airflow mounts a plugin's app without any authentication, so that the app has to ask itself.
"""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagDetails
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from monitoring.api.access import Principal, Scope

#: Who may write to this DAG may write here: the auth managers' views can't tell reads from writes.
_DAG = "monitoring_chain"


async def airflow_login(request: Request, scope: Scope) -> Principal:
    """The user whose token or cookie the request brings.

    ``read`` is for who may see plugins (the role Viewer and above), all else for who may edit the
    chain's DAG (User and above).

    Raises:
        HTTPException: 401 without a valid token, 403 without the right.
    """
    user = await get_user(request, None, await bearer_scheme(request))
    manager = get_auth_manager()
    # may ask Airflow's metadata database
    allowed = await run_in_threadpool(
        lambda: (
            manager.is_authorized_view(access_view=AccessView.PLUGINS, user=user)
            and (
                scope == "read"
                or manager.is_authorized_dag(method="PUT", details=DagDetails(id=_DAG), user=user)
            )
        )
    )
    if not allowed:
        raise HTTPException(403, f"{user.get_name()} may not do this (scope {scope})")
    return Principal(f"user:{user.get_name()}")
