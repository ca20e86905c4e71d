"""The watchdog looks at the chain itself: what begins and what ends is told once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from monitoring.cli import app
from monitoring.watch import RUN_OF, Limits, find_problems, tell_news, watch
from monitoring.watch_memory import Memory, memory_path
from sqlalchemy import text
from typer.testing import CliRunner

from tests.notify.episodes import NOW, add_policy, minutes, remove_policy, set_watermark
from tests.notify.hooks import answers, listening
from userdb.errors import ConfigError
from userdb.ledger import CollectionReport, SourceReport, record
from userdb.store import Store

LIMITS = Limits()


def collected(store: Store, end: datetime, *statuses: str, collector: str = "request_logs") -> None:
    """An attempt at the five minutes that end at ``end``, with a source for each status."""
    report = CollectionReport(
        collector=collector,
        start=end - minutes(5),
        end=end,
        sources=tuple(
            SourceReport(f"source {number}", status) for number, status in enumerate(statuses)
        ),
        started_at=end,
        duration_s=0.1,
    )
    store.write(lambda connection: record(connection, report, "request", "run"))


def problems(store: Store, now: datetime = NOW, limits: Limits = LIMITS) -> dict[str, str]:
    return find_problems(store, now=now, limits=limits)


def test_nothing_is_wrong_with_a_chain_that_runs_or_was_never_used(store: Store) -> None:
    assert problems(store) == {}
    add_policy(store)
    collected(store, NOW - minutes(5), "ok", "ok")
    assert problems(store) == {}


def test_a_stale_policy_is_a_problem_until_it_is_evaluated_or_removed(store: Store) -> None:
    add_policy(store)
    add_policy(store, "never", watermark=None)
    add_policy(store, "hourly", evaluation_interval="1h", window="1h")
    assert problems(store, NOW + minutes(16)) == {
        "policy request-timeouts": "its state is stale: it was evaluated until "
        "2026-03-01T12:00:00Z",
        "policy never": "its state is stale: it was evaluated never",
    }
    set_watermark(store, NOW + minutes(5))
    remove_policy(store, "never")
    assert problems(store, NOW + minutes(16)) == {}


def test_a_window_is_overdue_when_the_newest_complete_one_is_too_old(store: Store) -> None:
    collected(store, NOW - minutes(21), "ok", "ok")
    assert "no window after 2026-03-01T11:39:00Z" in problems(store)["collector request_logs"]
    # half a collection is none
    collected(store, NOW - minutes(5), "ok", "failed")
    assert "collector request_logs" in problems(store)
    collected(store, NOW - minutes(5), "ok", "ok")
    assert problems(store) == {}
    assert problems(store, limits=Limits(overdue=minutes(4))) != {}


def test_a_collector_that_was_switched_off_is_not_overdue(store: Store) -> None:
    collected(store, NOW - timedelta(days=8), "ok", collector="container_stats")
    assert set(problems(store)) == {"collector container_stats"}
    collected(store, NOW, "ok")
    assert problems(store) == {}


def test_windows_that_failed_in_a_row_are_counted_and_not_their_tries(store: Store) -> None:
    collected(store, NOW - minutes(15), "ok")
    for end in (NOW - minutes(10), NOW - minutes(5)):
        for _ in range(3):
            collected(store, end, "ok", "failed")
    assert problems(store) == {}
    collected(store, NOW, "failed", "failed")
    found = problems(store)["collector request_logs"]
    assert found.startswith("failed for 3 windows in a row, the first of which ended at 2026-03-01")
    assert "T11:50:00Z" in found
    # one of them is made up for
    collected(store, NOW - minutes(5), "ok", "ok")
    assert problems(store) == {}
    assert set(problems(store, limits=Limits(failures=1))) == {"collector request_logs"}


def test_what_cannot_be_told_about_is_no_failure(store: Store) -> None:
    collected(store, NOW - minutes(20), "ok")
    for ago in (15, 10, 5, 0):
        collected(store, NOW - minutes(ago), "unavailable")
    assert problems(store) == {}


def test_each_problem_is_told_once_when_it_begins_and_once_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "watchdog.json"

    def look(*subjects: str) -> None:
        # a new process each time
        found = dict.fromkeys(subjects, "broken")
        tell_news(Memory(path), found, lambda one: True, now=NOW)

    with listening() as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", hook.url)
        for subjects in (("a",), ("a",), ("a", "b"), ("b",), (), ()):
            look(*subjects)
    assert [(one.payload["status"], one.payload["reasons"]) for one in hook.received] == [
        ("firing", {"a": "broken"}),
        ("firing", {"b": "broken"}),
        ("resolved", {"a": "is over; it was: broken"}),
        ("resolved", {"b": "is over; it was: broken"}),
    ]
    assert {one.payload["what"] for one in hook.received} == {"monitoring"}


def test_what_could_not_be_told_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(tmp_path / "watchdog.json")
    with listening(answers(500, 200, 500, 200)) as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", hook.url)
        done = [
            tell_news(memory, found, lambda one: True, now=NOW)
            for found in ({"a": "broken"}, {"a": "broken"}, {}, {}, {})
        ]
    assert [one.untold for one in done] == [("a",), (), ("a",), (), ()]
    assert [one.payload["status"] for one in hook.received] == [
        "firing",
        "firing",
        "resolved",
        "resolved",
    ]


def test_an_unreachable_userdb_is_told_once_and_says_nothing_of_the_rest(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(tmp_path / "watchdog.json")
    add_policy(store)
    own = f"{RUN_OF}monitoring_upkeep"
    url = store.url.url.render_as_string(hide_password=False)
    unreachable = "mysql+pymysql://u:hunter22@127.0.0.1:1/userdb"
    with listening() as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", hook.url)
        tell_news(memory, {own: "broken"}, lambda one: one == own, now=NOW)
        for number, given in enumerate((url, unreachable, unreachable, url, url)):
            monkeypatch.setenv("USERDB_URL", given)
            watch(memory, now=NOW + minutes(20 + number), limits=LIMITS)
    told = [(one.payload["status"], *one.payload["reasons"]) for one in hook.received]
    assert told == [
        ("firing", own),
        ("firing", "policy request-timeouts"),
        ("firing", "userdb"),
        ("resolved", "userdb"),
    ]
    assert "can't be reached" in hook.received[2].payload["reasons"]["userdb"]
    assert "hunter22" not in str([one.payload for one in hook.received])


def test_a_userdb_that_fails_while_it_is_read_is_what_is_wrong(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_store.engine.begin() as connection:
        connection.execute(text("DROP TABLE collection"))
    monkeypatch.setenv("USERDB_URL", str(sqlite_store.url.url))
    monkeypatch.delenv("MONITORING_WATCHDOG_URL", raising=False)
    found = watch(Memory(tmp_path / "m.json"), now=NOW, limits=LIMITS)
    assert set(found.problems) == {"userdb"}


def test_asking_without_telling_remembers_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_policy(store)
    monkeypatch.setenv("USERDB_URL", store.url.url.render_as_string(hide_password=False))
    found = watch(Memory(tmp_path / "m.json"), now=NOW + minutes(20), limits=LIMITS, tells=False)
    assert set(found.problems) == {"policy request-timeouts"}
    assert not (tmp_path / "m.json").exists()


def test_a_spoilt_memory_begins_anew_and_one_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MONITORING_WATCHDOG_URL", raising=False)
    path = tmp_path / "watchdog.json"
    path.write_text("{half")
    tell_news(Memory(path), {"a": "broken"}, lambda one: True, now=NOW)
    assert json.loads(path.read_text()) == {"a": "broken"}
    assert "is not what the watchdog wrote" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="MONITORING_WATCHDOG_MEMORY"):
        tell_news(Memory(tmp_path / "file" / "m.json"), {}, lambda one: True, now=NOW)


def test_the_memory_lies_where_it_is_set_or_beside_userdb_or_in_airflows_home() -> None:
    assert memory_path({"MONITORING_WATCHDOG_MEMORY": "/m", "AIRFLOW_HOME": "/a"}) == Path("/m")
    assert memory_path({"AIRFLOW_HOME": "/a"}) == Path("/a/watchdog.json")
    both = {"AIRFLOW_HOME": "/a", "MONITORING_HOME": "/h"}
    assert memory_path(both).name == "watchdog.json"
    assert memory_path(both).parent.name == "var"


@pytest.mark.parametrize("value", ["0", "-1", "often", "1.5"])
def test_a_limit_that_is_no_number_is_named(value: str) -> None:
    for name in ("MONITORING_WATCHDOG_OVERDUE_MINUTES", "MONITORING_WATCHDOG_FAILURES"):
        with pytest.raises(ConfigError, match=f"{name} is '{value}'"):
            Limits.from_environment({name: value})
    given = Limits.from_environment(
        {"MONITORING_WATCHDOG_OVERDUE_MINUTES": "7", "MONITORING_WATCHDOG_FAILURES": " 2 "}
    )
    assert given == Limits(minutes(7), 2)


def test_the_command_for_cron_fails_while_something_is_wrong(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> tuple[int, str]:
        done = CliRunner().invoke(app, ["watch"])
        return done.exit_code, " ".join(done.output.split())

    stale = "policy request-timeouts: its state is stale: it was evaluated until 2026-03-01"
    with listening() as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", hook.url)
        monkeypatch.setenv("USERDB_URL", str(sqlite_store.url.url))
        assert run() == (0, "nothing is wrong with the chain")
        add_policy(sqlite_store)
        for _ in range(2):
            code, output = run()
            assert code == 1
            assert output.startswith(stale)
        remove_policy(sqlite_store)
        assert run()[0] == 0
    assert [one.payload["status"] for one in hook.received] == ["firing", "resolved"]


def test_parts_of_an_attempt_are_complete_when_each_source_was_collected(store: Store) -> None:
    def part(source: str, status: str, *awaited: str) -> None:
        report = CollectionReport(
            collector="request_logs",
            start=NOW - minutes(5),
            end=NOW,
            sources=(SourceReport(source, status),),
            started_at=NOW,
            duration_s=0.1,
            attempt="shared",
        )
        store.write(
            lambda connection: record(connection, report, "request", "run", awaited=awaited)
        )

    collected(store, NOW - minutes(21), "ok")
    part("a", "ok", "b")
    part("b", "failed", "a")
    assert "is overdue" in problems(store)["collector request_logs"]
    part("b", "ok", "a")
    assert problems(store) == {}
