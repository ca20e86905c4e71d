"""What tests of routing in userdb share: receivers, a reconcile, and what each was told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from monitoring.notify.definition import Receiver
from monitoring.notify.receiver_spec import read_specs
from monitoring.notify.reconcile import Decided, reconcile
from monitoring.notify.routing.definition import RoutingSpec
from monitoring.notify.routing.tree import Routing, build
from sqlalchemy import select

from tests.notify.episodes import NOW, set_watermark
from userdb.models import Delivery
from userdb.store import Store

RECEIVERS = {name: Receiver(name, f"http://127.0.0.1:9/{name}") for name in ("boss", "lead", "ops")}


def routing(text: str) -> Routing:
    data = yaml.safe_load(text)
    receivers, errors = read_specs(Path("routing.yaml"), data.pop("receivers", None), lambda _: 1)
    assert errors == {}
    return replace(build(RoutingSpec.model_validate(data)), receivers=receivers)


def run(
    store: Store,
    routes: Routing,
    *,
    now: datetime = NOW,
    names: tuple[str, ...] = ("ops",),
    policies: tuple[str, ...] = ("request-timeouts",),
) -> Decided:
    """Reconcile at ``now``, up to which everything was evaluated; and again, which does nothing."""
    for policy in policies:
        set_watermark(store, now, policy)
    receivers = [RECEIVERS[name] for name in names]
    decided = reconcile(store, receivers, now=now, routing=routes)
    assert decided.errors == {}
    assert reconcile(store, receivers, now=now, routing=routes).deliveries == ()
    return decided


def heard(store: Store, receiver: str = "ops") -> list[list[tuple[str, str]]]:
    """The messages to a receiver in order of time: each alert's service and status."""
    return [
        [(one["labels"]["service"], one["status"]) for one in row.payload["alerts"]]
        for row in messages(store, receiver)
    ]


def messages(store: Store, receiver: str = "ops") -> list[Any]:
    with store.read() as connection:
        return list(
            connection.execute(
                select(Delivery)
                .where(Delivery.receiver == receiver)
                .order_by(Delivery.created_at, Delivery.group_key, Delivery.sequence)
            )
        )
