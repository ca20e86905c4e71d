"""Report what happens to containers to the monitoring chain.

    from include.container_client import report_container_status

    report_container_status("was replaced", {"reason": "new image"}, container="sim-worker-3")

Goes the same way as ``include.gateway_client``: to userdb, else to a spool file that the chain
picks up later.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from include.reporting.report import report_event

__all__ = ["report_container_status"]

_SOURCE = "container_client"


def report_container_status(
    message: str,
    detail: dict[str, Any] | None = None,
    level: str = "info",
    *,
    container: str | None = None,
    service: str | None = None,
    instance: str | None = None,
    occurred_at: datetime | None = None,
    event_id: str | None = None,
) -> str:
    """Report something about a container, and return the event's id.

    Never raises. Called while an exception is handled, the event also tells its type and stack.

    Args:
        message: what happened, for people.
        detail: anything that JSON can hold.
        level: info, warning, error or critical.
        container: the container's name, as its runtime has it.
        service, instance: where; by default MONITORING_SERVICE, and MONITORING_INSTANCE or the
            host's name.
        occurred_at: when, with a time zone; by default now.
        event_id: at most 64 characters; an event reported twice under one id is stored once.
    """
    return report_event(
        "container",
        _SOURCE,
        message,
        detail,
        level,
        container=container,
        service=service,
        instance=instance,
        occurred_at=occurred_at,
        event_id=event_id,
        exception=sys.exception(),
    )
