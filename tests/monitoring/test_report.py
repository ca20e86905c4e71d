"""The report's numbers, counted by hand."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.alerts.acts import act
from monitoring.report import PolicyReport, read_report
from sqlalchemy import insert

from tests.monitoring.test_cli import Shell
from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from userdb.models import Delivery, DeliveryAttempt
from userdb.store import Store

ROOT = Path(__file__).resolve().parents[2]
START, END = NOW - timedelta(hours=6), NOW
OTHER = "errors"


def put_message(
    store: Store, name: str, status: str, outcomes: str, *policies: str, at: datetime = NOW
) -> None:
    """A message about ``policies`` and its tries: s(ent), r(etry), p(ermanent)."""
    words = {"s": "sent", "r": "retry", "p": "permanent"}

    def write(connection: Any) -> None:
        connection.execute(
            insert(Delivery).values(
                id=name,
                receiver="ops",
                group_key=name,
                sequence=1,
                status=status,
                payload={"alerts": [{"labels": {"alertname": one}} for one in policies]},
                kind="alerts",
                context={},
                attempts=len(outcomes),
                created_at=at,
                next_attempt_at=at,
            )
        )
        for number, outcome in enumerate(outcomes, 1):
            connection.execute(
                insert(DeliveryAttempt).values(
                    delivery_id=name,
                    number=number,
                    started_at=at,
                    duration_s=0.1,
                    outcome=words[outcome],
                )
            )

    store.write(write)


def put_incidents(store: Store) -> None:
    add_policy(store)
    add_policy(store, OTHER)
    # fired at, seconds until acknowledged, minutes until resolved, mark, flapping
    for number, (after, acknowledged, resolved, mark, flaps) in enumerate(
        [
            (0, 60, 10, "false_positive", False),
            (60, 120, 30, "true_positive", True),
            (120, None, 20, "true_positive", False),
            (180, 600, None, None, False),
        ],
        1,
    ):
        fired = START + minutes(after)
        put_alert(
            store,
            f"e{number}",
            series_id=number,
            fired_at=fired,
            resolved_at=None if resolved is None else fired + minutes(resolved),
            flapping_at=fired if flaps else None,
        )
        if acknowledged is not None:
            at = fired + timedelta(seconds=acknowledged)
            act(store, f"e{number}", "acknowledge", at=at, author="ann")
        if mark == "true_positive":
            act(store, f"e{number}", "false_positive", at=fired + minutes(1), author="ann")
        if mark is not None:
            act(store, f"e{number}", mark, at=fired + minutes(5), author="bob")
    # taken back and given again: the first word is when somebody was there
    act(store, "e4", "unacknowledge", at=START + minutes(191), author="ann")
    act(store, "e4", "acknowledge", at=START + minutes(200), author="bob")
    put_alert(store, "other", policy=OTHER, series_id=9, fired_at=START + minutes(5))
    act(store, "other", "resolve", at=START + minutes(9.5), author="ann")
    # none of the range: before, at its end, never fired, never was
    put_alert(store, "before", series_id=10, fired_at=START - minutes(1))
    put_alert(store, "after", series_id=11, fired_at=END)
    put_alert(store, "pending", series_id=12, fired_at=None)
    put_alert(store, "never", series_id=13, fired_at=START, superseded_at=NOW)

    in_range = START + minutes(1)
    put_message(store, "m1", "sent", "s", "request-timeouts", "request-timeouts", at=in_range)
    put_message(store, "m2", "sent", "rrs", "request-timeouts", OTHER, at=in_range)
    put_message(store, "m3", "dead", "p", "request-timeouts", at=in_range)
    put_message(store, "m4", "pending", "r", OTHER, at=in_range)
    put_message(store, "digest", "sent", "s", at=in_range)
    put_message(store, "late", "sent", "s", OTHER, at=END)


def test_the_numbers_of_a_range(store: Store) -> None:
    put_incidents(store)
    report = read_report(store, START, END)
    assert report.policies == (
        PolicyReport(
            policy=OTHER,
            episodes=1,
            acknowledged=0,
            median_to_acknowledge_s=None,
            resolved=1,
            median_to_resolve_s=4.5 * 60,
            true_positives=0,
            false_positives=0,
            unmarked=1,
            false_positive_share=None,
            flapping=0,
            sent=1,
            failed=0,
            failed_attempts=3,
        ),
        PolicyReport(
            policy="request-timeouts",
            episodes=4,
            acknowledged=3,
            median_to_acknowledge_s=120.0,
            resolved=3,
            median_to_resolve_s=20.0 * 60,
            true_positives=2,
            false_positives=1,
            unmarked=1,
            false_positive_share=1 / 3,
            flapping=1,
            sent=2,
            failed=1,
            failed_attempts=3,
        ),
    )
    total = report.total
    assert (total.policy, total.episodes, total.unmarked) == (None, 5, 2)
    assert (total.acknowledged, total.median_to_acknowledge_s) == (3, 120.0)
    assert (total.resolved, total.median_to_resolve_s) == (4, 15.0 * 60)
    # a message about two policies is one message; a digest is about none
    assert (total.sent, total.failed, total.failed_attempts) == (3, 1, 4)


def test_one_policy_alone(store: Store) -> None:
    put_incidents(store)
    report = read_report(store, START, END, policy=OTHER)
    assert [one.policy for one in report.policies] == [OTHER]
    assert (report.total.episodes, report.total.sent, report.total.failed_attempts) == (1, 1, 3)


def test_a_range_without_anything_reports_nothing(store: Store) -> None:
    report = read_report(store, START, END)
    assert report.policies == ()
    assert (report.total.episodes, report.total.median_to_resolve_s) == (0, None)


def test_the_command_prints_the_documented_table_or_json(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path, capsys
) -> None:
    put_incidents(sqlite_store)
    monitoring = Shell(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{tmp_path}/userdb.sqlite")
    arguments = ("report", "--from", START.isoformat(), "--to", END.isoformat())
    table = "\n".join(line.rstrip() for line in monitoring(*arguments).splitlines())
    page = (ROOT / "docs" / "feedback.md").read_text(encoding="utf-8")
    assert table in page, "docs/feedback.md shows another output"
    found = json.loads(monitoring(*arguments, "--output", "json", "--policy", OTHER))
    assert [one["policy"] for one in found["policies"]] == [OTHER]
    assert "is empty" in monitoring(
        "report", "--from", END.isoformat(), "--to", START.isoformat(), fails=True
    )
