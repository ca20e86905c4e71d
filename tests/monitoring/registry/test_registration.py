"""Instances in userdb: registered once, renewed, judged when read, and unique."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.audit import list_audit
from monitoring.registry.definition import Registration, ServiceSettings
from monitoring.registry.registration import Registered, deregister, heartbeat, register
from monitoring.registry.rows import ServiceState, read_service
from monitoring.registry.services import delete_service, set_service

from userdb.errors import ConflictError, NotFoundError
from userdb.store import Store

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def enrol(store: Store, number: int = 1, seconds: float = 0, **given: Any) -> Registered:
    asked = {"service": "sim", "address": "10.0.0.1", "port": 8000 + number, "ttl_s": 30, **given}
    asked.setdefault("instance_id", f"sim-{number}")
    return register(store, Registration(**asked), by="key:node", now=at(seconds))


def service(store: Store, seconds: float, name: str = "sim") -> ServiceState:
    with store.read() as connection:
        found = read_service(connection, name, now=at(seconds))
    assert found is not None
    return found


def actions(store: Store, kind: str = "instance") -> list[str]:
    with store.read() as connection:
        return [one.action for one in reversed(list_audit(connection, kind=kind))]


def test_registering_again_renews_the_lease_and_changes_nothing_else(store: Store) -> None:
    first = enrol(store)
    again = enrol(store, seconds=10)
    assert (first.created, again.created) == (True, False)
    assert again.instance.id == first.instance.id
    assert again.instance.registered_at == T0
    assert again.instance.lease_until == at(40)
    assert len(service(store, 10).instances) == 1
    assert actions(store) == ["register"]


def test_registering_again_elsewhere_moves_the_instance(store: Store) -> None:
    enrol(store)
    moved = enrol(store, seconds=1, address="10.0.0.2", details={"version": "2"})
    assert moved.instance.endpoint == "10.0.0.2:8001"
    (change,) = [one for one in _audit(store) if one.action == "update"]
    assert change.before is not None
    assert change.after is not None
    assert (change.before["address"], change.after["address"]) == ("10.0.0.1", "10.0.0.2")
    assert (change.principal, change.at) == ("key:node", at(1))


def _audit(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(list_audit(connection))


def test_an_address_has_one_instance_while_its_lease_runs(store: Store) -> None:
    holder = enrol(store).instance
    with pytest.raises(ConflictError, match=r"1:8001 belongs to .*sim-1 of sim") as raised:
        enrol(store, seconds=29, service="other", instance_id="thief")
    assert raised.value.members["instance"]["id"] == holder.id
    taken = enrol(store, seconds=30, service="other", instance_id="heir")
    assert taken.created
    assert service(store, 30).instances == ()
    assert actions(store) == ["register", "deregister", "register"]


def test_a_heartbeat_renews_until_the_instance_is_gone(store: Store) -> None:
    instance = enrol(store).instance
    enrol(store, 2, ttl_s=86_400)
    assert heartbeat(store, instance.id, now=at(60)).lease_until == at(90)
    assert service(store, 89.9).healthy == 2
    # unhealthy, but not forgotten: three more ttls
    assert heartbeat(store, instance.id, now=at(179.9)).state == "healthy"
    # a heartbeat that was overtaken shortens nothing
    assert heartbeat(store, instance.id, now=at(100)).renewed_at == at(179.9)
    with pytest.raises(NotFoundError, match="register it"):
        heartbeat(store, instance.id, now=at(179.9 + 120))
    assert enrol(store, seconds=300).created


def test_the_last_instance_is_kept_by_the_floor_and_revives(store: Store) -> None:
    instance = enrol(store).instance
    late = service(store, 10_000)
    assert late.protected
    assert [(one.state, one.in_service) for one in late.instances] == [("unhealthy", True)]
    assert heartbeat(store, instance.id, now=at(10_000)).state == "healthy"
    assert not service(store, 10_001).protected


def test_whoever_leaves_is_gone_at_once_whatever_the_floor(store: Store) -> None:
    instance = enrol(store).instance
    deregister(store, instance.id, by="key:node", now=at(1))
    assert service(store, 1).instances == ()
    with pytest.raises(NotFoundError):
        deregister(store, instance.id, by="key:node", now=at(2))
    with pytest.raises(NotFoundError):
        heartbeat(store, instance.id, now=at(2))
    assert actions(store) == ["register", "deregister"]


def test_a_service_is_made_set_and_deleted_with_its_instances(store: Store) -> None:
    made, created = set_service(store, "sim", ServiceSettings(floor=0), by="user:ann", now=T0)
    assert (made.floor, created) == (0, True)
    enrol(store)
    changed, created = set_service(store, "sim", ServiceSettings(floor=1), by="user:ann", now=at(1))
    assert (changed.floor, created, len(changed.instances)) == (1, False, 1)
    set_service(store, "sim", ServiceSettings(floor=1), by="user:ann", now=at(2))
    delete_service(store, "sim", by="user:ann", now=at(3))
    with store.read() as connection:
        assert read_service(connection, "sim", now=at(3)) is None
    with pytest.raises(NotFoundError):
        delete_service(store, "sim", by="user:ann", now=at(4))
    assert actions(store, "service") == ["create", "update", "update", "delete"]


def test_instances_that_register_at_once_are_all_there_once(store: Store) -> None:
    """One new service, and two that want the same address."""
    outcomes: list[str] = []

    def run(number: int) -> None:
        try:
            enrol(store, min(number, 6), instance_id=f"sim-{number}")
            outcomes.append("registered")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] + ["registered"] * 7
    assert len(service(store, 1).instances) == 7
    assert actions(store, "service") == ["create"]
