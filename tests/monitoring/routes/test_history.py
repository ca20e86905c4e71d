"""The table as it was: at any time of a range, the routes that were there then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.registry.services import ensure_service
from monitoring.routes.history import routes_between
from monitoring.routes.match import in_order
from monitoring.routes.table import (
    create_route,
    delete_route,
    list_routes,
    patched,
    replace_route,
)
from sqlalchemy import delete

from tests.monitoring.routes.tables import routes
from userdb.models import Audit, Route
from userdb.store import Store

_T0 = datetime(2026, 3, 1, tzinfo=UTC)


def _at(minutes: float) -> datetime:
    return _T0 + timedelta(minutes=minutes)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_was_in_force_at_any_time_of_a_range(data: st.DataObject, sqlite_store: Store) -> None:
    store = sqlite_store

    def empty(connection):
        connection.execute(delete(Route))
        connection.execute(delete(Audit))
        ensure_service(connection, "sim", by="test", now=_at(0))

    store.write(empty)
    ids: dict[str, str] = {}
    tables = []
    for minute in range(8):
        name = data.draw(st.sampled_from("abc"))
        act = data.draw(st.sampled_from(["put", "put", "switch", "delete"]))
        if name not in ids and act == "put":
            spec = data.draw(routes(name=name)).model_copy(update={"priority": minute})
            spec = spec.model_copy(update={"path_type": "exact", "path": f"/{minute}"})
            made, _ = create_route(store, spec, by="test", now=_at(minute))
            ids[name] = made.id
        elif name in ids and act == "delete":
            delete_route(store, ids.pop(name), by="test", now=_at(minute))
        elif name in ids:
            given = {"priority": -minute} if act == "put" else {"enabled": minute % 2 == 0}
            replace_route(store, ids[name], patched(given), by="test", now=_at(minute))
        with store.read() as connection:
            tables.append(in_order(one.spec for one in list_routes(connection)))
    first = data.draw(st.integers(0, 7))
    stop = data.draw(st.integers(first + 1, 9))
    with store.read() as connection:
        found = routes_between(connection, _at(first), _at(stop))
    for number in range(first * 2, stop * 2):
        then = _at(number / 2)
        in_force = [
            one.spec
            for one in found
            if (one.begins is None or one.begins <= then) and (one.ends is None or then < one.ends)
        ]
        assert in_force == tables[min(number // 2, 7)]
