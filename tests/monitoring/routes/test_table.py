"""The table in userdb, when several change it at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from monitoring.audit import list_audit
from monitoring.registry.definition import ServiceSettings
from monitoring.registry.services import delete_service, set_service
from monitoring.routes.definition import RouteSpec
from monitoring.routes.table import create_route, list_routes, patched, replace_route

from userdb.errors import (
    ConflictError,
    InvalidRequestError,
    MonitoringError,
    PreconditionError,
)
from userdb.store import Store

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def spec(name: str, **given: Any) -> RouteSpec:
    return RouteSpec.model_validate({"name": name, "service": "sim", **given})


def service(store: Store, name: str = "sim") -> None:
    set_service(store, name, ServiceSettings(), by="test", now=NOW)


def at_once(*works: Callable[[], object]) -> Counter[str]:
    """Run all in threads of their own; how often each kind of error, or ``done``, came of it."""
    outcomes: list[str] = []
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        ready.wait()
        try:
            work()
            outcomes.append("done")
        except MonitoringError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def test_of_routes_with_one_name_or_one_match_made_at_once_there_is_one(store: Store) -> None:
    service(store)

    def create(name: str, path: str) -> Callable[[], object]:
        return lambda: create_route(store, spec(name, path=path), by="test", now=NOW)

    names = [create("same", f"/{number}") for number in range(4)]
    matches = [create(f"r{number}", "/same") for number in range(4)]
    assert at_once(*names, *matches) == {"done": 2, ConflictError.__name__: 6}
    with store.read() as connection:
        assert len(list_routes(connection)) == 2
        assert len(list_audit(connection, kind="route")) == 2


def test_of_changes_to_the_same_version_one_is_made(store: Store) -> None:
    service(store)
    route = create_route(store, spec("a"), by="test", now=NOW)[0].id
    works = [
        lambda number=number: replace_route(
            store,
            route,
            patched({"priority": number}),
            expected=lambda version: version == 1,
            by="test",
            now=NOW,
        )
        for number in range(1, 5)
    ]
    assert at_once(*works) == {"done": 1, PreconditionError.__name__: 3}


def test_no_route_is_left_without_its_service(store: Store) -> None:
    for number in range(5):
        name = f"sim-{number}"
        service(store, name)
        route = spec(f"r{number}", path=f"/{number}", service=name)
        outcome = at_once(
            lambda route=route: create_route(store, route, by="test", now=NOW),  # type: ignore[misc]
            lambda name=name: delete_service(store, name, by="test", now=NOW),  # type: ignore[misc]
        )
        # whoever comes second is refused
        assert outcome["done"] == 1
        assert outcome[ConflictError.__name__] + outcome[InvalidRequestError.__name__] == 1
