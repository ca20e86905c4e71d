"""The chain's last step: decide what receivers must be told, then deliver it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from monitoring.log_context import bound
from monitoring.notify.definition import Receiver
from monitoring.notify.delivery import Progress, deliver
from monitoring.notify.receivers import load_receivers
from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.loader import load_routing
from monitoring.notify.routing.tree import Routing
from monitoring.notify.sending import Clock
from userdb.store import Store

log = logging.getLogger(__name__)

NO_RECEIVERS = "no receivers: set MONITORING_WEBHOOK_URL or MONITORING_RECEIVERS"


@dataclass(frozen=True)
class NotifyReport:
    """What one call to ``notify`` did.

    Attributes:
        receivers: how many there are.
        decided: new messages.
        held: alerts that a receiver's limit holds back; they come in a digest.
        sent: messages taken by their receivers, older ones included.
        dead: messages given up.
        failed_attempts: tries that failed, those of messages that were sent later included.
        pending: messages that a later call must deliver.
        stale: policies whose state is too old to tell anybody.
        message: what the reader should know, else empty.
        errors: what went wrong, by receiver, receiver and group, connection, variable, or field
            of routing.yaml.
    """

    receivers: int = 0
    decided: int = 0
    held: int = 0
    sent: int = 0
    dead: int = 0
    failed_attempts: int = 0
    pending: int = 0
    stale: tuple[str, ...] = ()
    message: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "stale": list(self.stale)}


def notify(
    store: Store,
    *,
    now: datetime,
    receivers: Sequence[Receiver] | None = None,
    deadline_s: float = 60.0,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
    routing: Routing | None = None,
    external_url: str | None = None,
) -> NotifyReport:
    """Tell receivers what is true now and what they were not told yet.

    To be called every minute, whether alerts changed or not: repeats, escalations, digests and the
    ends of silences are decided here too. It costs three reads where there is no news.

    Without receivers nothing is done, and nothing is lost: one that is added later is told what
    fires then.

    Args:
        now: decides what is recent, and where the clock of retries starts.
        receivers: default: those of ``routing`` and of the environment.
        deadline_s: no try begins later than that.
        clock: where retries take the time from; default: it goes on from ``now``.
        on_progress: called with a line of text after each try, by several threads.
        routing: who is told of what; default: routing.yaml, see ``routing.loader``.
        external_url: of Airflow's web server, for links; default ``MONITORING_EXTERNAL_URL``.
    """
    errors: dict[str, str] = {}
    if routing is None:
        found = load_routing()
        routing = found.routing
        errors |= found.errors
    if receivers is None:
        loaded = load_receivers(specs=routing.receivers)
        receivers = loaded.usable
        errors |= loaded.errors
    errors |= _missing(routing, [one.name for one in receivers])
    for origin, why in errors.items():
        log.error("notifications: %s: %s", origin, why)
    if not receivers:
        log.warning(NO_RECEIVERS)
        return NotifyReport(message=NO_RECEIVERS, errors=errors)
    if external_url is None:
        external_url = os.environ.get("MONITORING_EXTERNAL_URL", "")
    decided = reconcile(
        store,
        receivers,
        now=now,
        routing=routing,
        external_url=external_url.rstrip("/"),
    )
    if decided.stale:
        log.warning("state too old to notify about: %s", ", ".join(decided.stale))
    report = deliver(
        store,
        now=now,
        receivers=receivers,
        deadline_s=deadline_s,
        clock=clock,
        on_progress=on_progress,
    )
    told = NotifyReport(
        receivers=len(receivers),
        decided=len(decided.deliveries),
        held=decided.held,
        sent=report.sent,
        dead=report.dead,
        failed_attempts=report.failed_attempts,
        pending=report.pending,
        stale=decided.stale,
        errors=errors | decided.errors | report.errors,
    )
    with bound(
        decided=told.decided,
        sent=told.sent,
        pending=told.pending,
        dead=told.dead,
        failed_attempts=told.failed_attempts,
    ):
        log.info("told %d receivers: %d messages sent", told.receivers, told.sent)
    return told


def _missing(routing: Routing, receivers: Sequence[str]) -> dict[str, str]:
    """What is to be said of receivers that routes name and that can't be used; by receiver."""
    there = ", ".join(sorted(receivers)) or "none"
    return {
        f"route to {name}": f"the receiver {name!r}, which {', '.join(routes)} of routing.yaml "
        f"names, is not set up, so those are not told by it; there are {there}"
        for name, routes in routing.missing(receivers).items()
    }
