"""Totals of the ledger that are read again and again, at a cost that doesn't grow with it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring import ledger_totals
from monitoring.ledger_totals import LedgerSums, LedgerTotals
from sqlalchemy import delete, insert

from tests.monitoring.facts import T0
from userdb.models import Collection
from userdb.store import Store
from userdb.times import from_minute

NAMES = ("request_logs", "container_stats")


def row(number: int, collector: str = "request_logs", status: str = "ok") -> dict[str, object]:
    at = from_minute(T0) + timedelta(minutes=number)
    return {
        "id": number,
        "attempt": f"{number:032x}",
        "collector": collector,
        "source": "s",
        "window_start": at,
        "window_end": at + timedelta(minutes=1),
        "status": status,
        "row_count": number,
        "rejected": 1,
        "late": 2,
        "started_at": at,
        "duration_s": 0.1,
    }


def put(store: Store, *rows: dict[str, object]) -> None:
    store.write(lambda connection: connection.execute(insert(Collection.__table__), list(rows)))


def read(store: Store, sums: LedgerSums) -> dict[str, LedgerTotals]:
    with store.read() as connection:
        return sums.read(connection, NAMES)


def empty(store: Store, until: int | None = None) -> None:
    which = delete(Collection) if until is None else delete(Collection).where(Collection.id < until)
    store.write(lambda connection: connection.execute(which))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(1, 13)), read_after=st.sets(st.integers(0, 11)))
def test_rows_that_are_committed_in_any_order_are_all_counted(
    sqlite_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    order: list[int],
    read_after: set[int],
) -> None:
    # no row comes later than eleven others with higher ids
    monkeypatch.setattr(ledger_totals, "_UNSETTLED", 12)
    empty(sqlite_store)
    sums = LedgerSums()
    for low in (0, 12, 24):
        for at, number in enumerate(order):
            name, status = NAMES[number % 2], ("ok", "failed")[number % 3 == 0]
            put(sqlite_store, row(low + number, name, status))
            if at in read_after:
                read(sqlite_store, sums)
    assert read(sqlite_store, sums) == read(sqlite_store, LedgerSums())
    assert sum(one.rows for one in read(sqlite_store, sums).values()) == sum(range(1, 37))


def test_old_rows_are_not_read_again_and_another_database_is_noticed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_totals, "_UNSETTLED", 5)
    put(store, *(row(number) for number in range(1, 101)))
    sums = LedgerSums()
    before = read(store, sums)
    assert before["request_logs"] == LedgerTotals(
        5050, 100, 200, {"ok": 100, "failed": 0, "unavailable": 0}
    )
    assert before["container_stats"].attempts == {"ok": 0, "failed": 0, "unavailable": 0}
    empty(store, until=95)
    assert read(store, sums) == before
    empty(store)
    put(store, row(7))
    assert read(store, sums)["request_logs"].rows == 7
