"""What operators do from the command line: several alerts at once, and errors that say why not."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.monitoring.test_cli import Shell
from tests.notify.episodes import add_policy, put_alert, supersede
from userdb.migrate import upgrade
from userdb.store import open_store

AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def monitoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    store = open_store(f"sqlite:///{tmp_path}/var/userdb.sqlite")
    upgrade(store)
    add_policy(store)
    for number, name in enumerate(("a", "b"), 1):
        put_alert(store, name, service=name, series_id=number, fired_at=AGO)
    put_alert(store, "old", series_id=1, fired_at=AGO - timedelta(minutes=1))
    supersede(store, "old")
    over = AGO + timedelta(minutes=9)
    put_alert(store, "over", series_id=3, fired_at=AGO, resolved_at=over)
    store.close()
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def listed(monitoring: Shell) -> Callable[[str], dict[str, object]]:
    def of(alert_id: str) -> dict[str, object]:
        rows = json.loads(monitoring("alerts", "list", "--format", "json"))
        return next(row for row in rows if row["id"] == alert_id)

    return of


def test_several_alerts_are_acknowledged_by_the_login_name(monitoring: Shell, listed) -> None:
    assert monitoring("alerts", "ack", "a", "b", "a") == "a: acknowledged\nb: acknowledged\n"
    assert listed("a")["acknowledged_by"] == listed("b")["acknowledged_by"] == getpass.getuser()
    assert f"acknowledged by {getpass.getuser()}" in monitoring("alerts", "list")
    monitoring("alerts", "unack", "a", "--by", "ann")
    assert listed("a")["acknowledged_by"] is None


def test_an_alert_is_commented_assigned_marked_and_resolved(monitoring: Shell, listed) -> None:
    monitoring("alerts", "comment", "over", "--note", "[disk] full", "--by", "ann")
    monitoring("alerts", "assign", "a", "--by", "ann")
    assert listed("a")["assignee"] == "ann"
    assert monitoring("alerts", "assign", "a", "--to", "bob") == "a: assigned to bob\n"
    monitoring("alerts", "mark", "over", "a", "--false-positive")
    monitoring("alerts", "mark", "a", "--true-positive", "--note", "it was down")
    monitoring("alerts", "resolve", "a", "--by", "bob")
    found = listed("a")
    assert (found["state"], found["assignee"], found["mark"]) == (
        "resolved",
        "bob",
        "true_positive",
    )
    assert listed("over")["mark"] == "false_positive"
    history = monitoring("alerts", "history", "a")
    for text in ("assign", "by ann to ann", "true_positive", "it was down", "resolve", "by bob"):
        assert text in history
    shown = monitoring("alerts", "show", "over")
    assert "false positive" in shown
    assert "by ann: [disk] full" in shown


def test_an_old_id_leads_to_what_holds_now(monitoring: Shell, listed) -> None:
    said = monitoring("alerts", "ack", "old", "--by", "ann")
    assert said == "a (which succeeds old): acknowledged\n"
    assert listed("a")["acknowledged_by"] == "ann"


def test_one_that_it_cannot_be_done_about_does_not_stop_the_others(monitoring, listed) -> None:
    error = monitoring("alerts", "resolve", "nothing", "over", "a", fails=True)
    assert "there is no alert nothing" in error
    assert "alert over is over since" in error
    assert listed("a")["state"] == "resolved"
    # a batch may learn of it only when it is over
    monitoring("alerts", "ack", "over", "--by", "ann")
    assert listed("over")["acknowledged_by"] == "ann"


def test_an_author_who_is_nobody_is_refused(monitoring: Shell) -> None:
    assert "the author (--by) is missing" in monitoring(
        "alerts", "ack", "a", "--by", " ", fails=True
    )
