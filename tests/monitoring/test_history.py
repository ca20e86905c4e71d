"""From facts to alerts and their history, on both databases."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from monitoring.alerts.export import export_document
from monitoring.alerts.history import update_alerts
from monitoring.alerts.read import alert_history
from monitoring.alerts.search import list_alerts
from monitoring.evaluation import score_policies
from monitoring.policy.loader import load_policies
from monitoring.window import Window
from sqlalchemy import delete, event, func, insert, select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from userdb.errors import WindowError
from userdb.models import Alert, AlertTransition, Base, Dirty, Evaluation, PolicyScore, PolicyState
from userdb.store import Store, open_store
from userdb.times import from_minute

POLICIES = """
policies:
  - name: timeouts
    kind: threshold
    signal: requests.timeouts
    by: [service]
    window: 2m
    condition: "> 5"
    recover: "< 2"
    for: 2m
    keep_firing_for: 3m
    annotations: {summary: "{{ service }}: {{ value | number }} timeouts"}
  - name: silence
    kind: threshold
    signal: requests.count
    by: [service]
    window: 3m
    condition: "< 1"
    forget: 10m
"""


def write_policies(folder: Path, text: str = POLICIES):
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(text)
    return load_policies(folder)


def run(store: Store, loaded, first: int, stop: int, now=LONG_AFTER, **options):
    scores = score_policies(
        Window.of_minutes(first, stop), store, now=now, loaded=loaded, **options
    )
    assert not scores.errors
    report = update_alerts(store, now=now)
    assert not report.errors
    return report


def export(store: Store):
    with store.read() as connection:
        return export_document(list_alerts(connection, limit=None), alert_history(connection))


def timeouts(*minutes: int, each: int = 9):
    return {T0 + m: {"requests": 10, "timeout": each, "ok": 10 - each} for m in minutes}


def quiet(*minutes: int):
    return {T0 + m: {"requests": 10, "ok": 10} for m in minutes}


def steps(store: Store, policy: str = "timeouts"):
    with store.read() as connection:
        return [
            ((row.at - from_minute(T0)) // timedelta(minutes=1), row.to_state)
            for row in alert_history(connection, policy=policy)
        ]


def test_an_incident_opens_fires_and_resolves(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, quiet(*range(20)) | timeouts(4, 5, 6, 7))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20)
    # minute 4 is known at 5; the window of two minutes still breaches at 9 (minute 7 in it)
    assert steps(store) == [(5, "pending"), (7, "firing"), (13, "resolved")]
    with store.read() as connection:
        (alert,) = list_alerts(connection, policy="timeouts")
    assert alert.state == "resolved"
    assert alert.labels == {"service": "sim"}
    assert alert.annotations == {"summary": "sim: 18 timeouts"}
    assert alert.value == 18


def test_silence_opens_while_the_series_lives_and_ends_when_it_is_gone(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, quiet(0, 1, 2))
    cover(store, T0 - 30, T0 + 30)
    run(store, loaded, T0, T0 + 30)
    assert steps(store, "silence") == [(6, "pending"), (6, "firing"), (13, "resolved")]


def test_a_window_nobody_collected_is_unknown_and_changes_nothing(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, timeouts(*range(5)))
    cover(store, T0 - 30, T0 + 5)
    run(store, loaded, T0, T0 + 30)
    assert steps(store) == [(1, "pending"), (3, "firing")]
    with store.read() as connection:
        assert [a.state for a in list_alerts(connection, policy="timeouts")] == ["firing"]
        spans = connection.execute(
            select(PolicyScore.first_minute, PolicyScore.last_minute).where(
                PolicyScore.policy == "timeouts", PolicyScore.series_id == 0
            )
        ).all()
    assert [tuple(span) for span in spans] == [(T0 + 6, T0 + 30)]


def test_late_data_rewrites_history_and_keeps_what_was_known(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, quiet(*range(20)))
    cover(store, T0 - 30, T0 + 20)
    early, late = LONG_AFTER, LONG_AFTER + timedelta(hours=1)
    run(store, loaded, T0, T0 + 20, now=early)
    assert steps(store) == []
    put_requests(store, timeouts(4, 5, 6))
    # another window is scored; the dirty minutes are taken in with it
    cover(store, T0 + 20, T0 + 21)
    run(store, loaded, T0 + 20, T0 + 21, now=late)
    assert steps(store) == [(5, "pending"), (7, "firing"), (12, "resolved")]
    put_requests(store, quiet(4, 5, 6))
    run(store, loaded, T0 + 20, T0 + 21, now=late + timedelta(hours=1))
    assert steps(store) == []
    with store.read() as connection:
        known = alert_history(connection, as_of=late)
        assert [row.to_state for row in known] == ["pending", "firing", "resolved"]
        assert alert_history(connection, as_of=early) == []
        assert connection.scalar(select(func.count()).select_from(Dirty)) == 0
        assert connection.scalar(select(Alert.superseded_at)) is not None


def test_running_a_window_again_changes_no_row(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, quiet(*range(20)) | timeouts(4, 5, 6, 7))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20)
    before = _tables(store)
    report = run(store, loaded, T0, T0 + 20, now=LONG_AFTER + timedelta(days=1))
    assert (report.pending, report.superseded) == (0, 0)
    assert _tables(store) == before


def _tables(store: Store):
    with store.read() as connection:
        return {
            model.__tablename__: connection.execute(
                select(
                    *(column for column in model.__table__.columns if column.name != "generation")
                ).order_by(*model.__table__.primary_key)
            ).all()
            for model in (Alert, AlertTransition, PolicyScore, Evaluation, PolicyState)
        }


def test_a_window_that_ends_after_now_is_refused(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    with pytest.raises(WindowError, match="ends after now"):
        run(store, loaded, T0, T0 + 5, now=from_minute(T0 + 4))


def test_an_edit_begins_when_it_is_registered_and_a_backfill_registers_none(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, timeouts(*range(40), each=4))
    cover(store, T0 - 30, T0 + 40)
    run(store, loaded, T0, T0 + 10, now=from_minute(T0 + 10))
    assert steps(store) == [(2, "pending"), (4, "firing")]
    stricter = write_policies(tmp_path / "p", POLICIES.replace('"> 5"', '"> 50"'))
    run(store, stricter, T0 + 10, T0 + 20, now=from_minute(T0 + 20), register=False)
    assert len(steps(store)) == 2
    # registered at minute 25: evaluations after it are clear, those before stay as they are
    run(store, stricter, T0 + 20, T0 + 25, now=from_minute(T0 + 25))
    run(store, stricter, T0 + 25, T0 + 35, now=from_minute(T0 + 35))
    assert steps(store) == [(2, "pending"), (4, "firing")]  # 8 is between: not recovered
    put_requests(store, timeouts(*range(20), each=4))
    run(store, stricter, T0, T0 + 20, now=from_minute(T0 + 36))
    assert steps(store) == [(2, "pending"), (4, "firing")]


def test_removing_a_policy_or_changing_its_identity_ends_its_alerts(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, timeouts(*range(40)))
    cover(store, T0 - 30, T0 + 40)
    run(store, loaded, T0, T0 + 10, now=from_minute(T0 + 10))
    by_route = write_policies(tmp_path / "p", POLICIES.replace("by: [service]", "by: [route]", 1))
    run(store, by_route, T0 + 10, T0 + 12, now=from_minute(T0 + 12))
    run(store, by_route, T0 + 12, T0 + 20, now=from_minute(T0 + 20))
    assert sorted(steps(store)) == [
        (1, "pending"),
        (3, "firing"),
        (13, "pending"),
        (13, "resolved"),
        (15, "firing"),
    ]
    (tmp_path / "p" / "p.yaml").write_text("policies: []")
    gone = load_policies(tmp_path / "p")
    run(store, gone, T0 + 20, T0 + 22, now=from_minute(T0 + 22))
    run(store, gone, T0 + 22, T0 + 25, now=from_minute(T0 + 25))
    assert steps(store)[-1] == (23, "resolved")


def test_a_broken_policy_keeps_its_definition_and_the_others_are_scored(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, timeouts(*range(20)))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 10, now=from_minute(T0 + 10))
    broken = write_policies(tmp_path / "p", POLICIES.replace('"> 5"', '"much"'))
    report = score_policies(
        Window.of_minutes(T0 + 10, T0 + 15), store, now=from_minute(T0 + 15), loaded=broken
    )
    (text,) = report.errors.values()
    assert "p.yaml:8: policies[0].condition: 'much' is not a condition" in text
    assert report.policies == 2
    update_alerts(store, now=from_minute(T0 + 15))
    assert steps(store) == [(1, "pending"), (3, "firing")]


def test_windows_that_run_at_once_give_the_history_of_one_run(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(store, quiet(*range(40)) | timeouts(4, 5, 6, 7, 20, 21, 22, 30, 31, 32))
    cover(store, T0 - 30, T0 + 40)
    url = store.url.url.render_as_string(hide_password=False)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        own = open_store(url)
        start.wait()  # nobody has registered the policies yet
        for low in range(0, 40, 5):
            first = T0 + (low + 10 * number) % 40
            run(own, loaded, first, first + 5)
        own.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, number) for number in range(4)]:
            done.result()
    often = export(store)
    clear(store)
    put_requests(store, quiet(*range(40)) | timeouts(4, 5, 6, 7, 20, 21, 22, 30, 31, 32))
    cover(store, T0 - 30, T0 + 40)
    run(store, loaded, T0, T0 + 40)
    assert often == export(store)
    assert [to for _, to in steps(store)].count("firing") == 3


def test_more_changes_than_a_statement_takes_variables_are_taken_in(sqlite_store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_requests(sqlite_store, quiet(*range(20)))
    cover(sqlite_store, T0 - 30, T0 + 20)
    run(sqlite_store, loaded, T0, T0 + 20)
    put_requests(sqlite_store, timeouts(4, 5, 6, 7))
    again = [
        {"token": f"{n}", "policy": "timeouts", "first_minute": T0 + n % 9, "last_minute": T0 + 9}
        for n in range(12_000)
    ]
    sqlite_store.write(lambda connection: connection.execute(insert(Dirty), again))
    limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    statements: list[str] = []
    event.listen(sqlite_store.engine, "checkout", lambda driver, *_: driver.setlimit(limit, 5_500))
    event.listen(
        sqlite_store.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    run(sqlite_store, loaded, T0 + 20, T0 + 21)
    assert steps(sqlite_store) == [(5, "pending"), (7, "firing"), (13, "resolved")]
    assert len(statements) < 200  # minutes that many tell of are looked for once
    with sqlite_store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Dirty)) == 0


def clear(store: Store) -> None:
    def work(connection):
        for table in Base.metadata.tables.values():
            connection.execute(delete(table))

    store.write(work)
