"""What operators do about alerts: acknowledge, comment, assign, resolve by hand, mark.

An act is about a span of a series' time: the episode as it was known when the act was done. Late
data may move, merge or split that episode; the act then holds for every episode that overlaps the
span, and ``successors`` leads from the old episode to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from monitoring.alerts.feedback import Act, acts_by_alert, acts_of, feedback_of, is_acknowledged
from monitoring.alerts.overlay import Standing, read_standing, successors
from monitoring.policy.state import lock_policy
from monitoring.policy.versions import read_timeline
from userdb.errors import AlertError, UnknownAlertError
from userdb.models import Alert, OperatorAction, PolicyState
from userdb.store import Store
from userdb.times import require_aware, to_minute_up

__all__ = [
    "ACTIONS",
    "Act",
    "Action",
    "act",
    "acts_by_alert",
    "acts_of",
    "feedback_of",
    "is_acknowledged",
    "read_resolutions",
    "record_act",
    "successors",
]

Action = Literal[
    "acknowledge",
    "unacknowledge",
    "comment",
    "assign",
    "resolve",
    "true_positive",
    "false_positive",
]
ACTIONS: tuple[Action, ...] = (
    "acknowledge",
    "unacknowledge",
    "comment",
    "assign",
    "resolve",
    "true_positive",
    "false_positive",
)
_LONGEST_NAME = 255
_LONGEST_NOTE = 10_000


@dataclass(frozen=True)
class Wish:
    """Something to be done about one or more alerts. ``assignee`` is the person of ``assign``.

    Raises:
        AlertError: a comment says nothing, nobody is named, or a text is too long.
    """

    action: Action
    at: datetime
    author: str
    note: str | None = None
    assignee: str | None = None

    def __post_init__(self) -> None:
        require_aware(self.at, "at")
        _check_name(self.author, "the author (--by)")
        if self.action == "assign":
            _check_name(self.assignee or "", "the person that it is assigned to (--to)")
        if self.action == "comment" and not (self.note or "").strip():
            raise AlertError("a comment needs a text; give one with --note")
        if len(self.note or "") > _LONGEST_NOTE:
            raise AlertError(f"the note has more than {_LONGEST_NOTE} characters; shorten it")


def act(
    store: Store,
    alert_id: str,
    action: Action,
    *,
    at: datetime,
    author: str,
    note: str | None = None,
    assignee: str | None = None,
) -> list[str]:
    """Record what ``author`` did about an alert at ``at``; returns the alerts that it is about.

    An id that late data has made untrue leads to its successors. ``resolve`` ends an episode at
    its policy's first evaluation at or after ``at``, and for readers at once; no other begins
    before the condition has been clear once.

    Raises:
        UnknownAlertError: there is no such alert.
        AlertError: it had not begun by ``at``; it is over and can't be resolved; or what is said
            makes no sense. All but ``resolve`` can be said of what is over: a batch may learn of
            it only then.
        NaiveDatetimeError: ``at`` has no time zone.
    """
    wish = Wish(action, at, author.strip(), (note or "").strip() or None, assignee)
    return store.write(lambda connection: _act(connection, alert_id, wish))


def _act(connection: Connection, alert_id: str, wish: Wish) -> list[str]:
    ids = successors(connection, alert_id)
    if not ids and connection.scalar(select(Alert.id).where(Alert.id == alert_id)) is None:
        raise UnknownAlertError(
            f"there is no alert {alert_id}; `monitoring alerts list` shows those there are"
        )
    if not ids:
        raise AlertError(f"alert {alert_id} never was: late data took it back, and left no other")
    found = read_standing(connection, ids)
    if wish.action == "resolve" and len(found) > 1:
        # of several successors those that are over need nothing more
        found = [one for one in found if one.is_open_at(wish.at)] or found[-1:]
    for one in found:
        _refuse(connection, one, wish)
    for one in found:
        over = one.resolved_at is not None and one.resolved_at <= wish.at
        record_act(
            connection,
            one.policy,
            one.series_id,
            Act(wish.action, wish.at, wish.author, wish.note, wish.assignee),
            alert_id=one.id,
            span_from=one.active_at,
            span_to=one.resolved_at if over else None,
            severity=one.severity,
        )
    return [one.id for one in found]


def _refuse(connection: Connection, alert: Standing, wish: Wish) -> None:
    """Raise AlertError where ``wish`` makes no sense about ``alert``."""
    began = alert.active_at
    if began > wish.at or (wish.action == "resolve" and began == wish.at):
        raise AlertError(f"alert {alert.id} began at {began.isoformat()}, after the act")
    if wish.action == "resolve" and not alert.is_open_at(wish.at):
        assert alert.resolved_at is not None
        raise AlertError(
            f"alert {alert.id} is over since {alert.resolved_at.isoformat()}: "
            "there is nothing to resolve"
        )
    if wish.action == "unacknowledge" and not is_acknowledged(acts_of(connection, alert.id)):
        raise AlertError(f"alert {alert.id} is not acknowledged")


def record_act(
    connection: Connection,
    policy: str,
    series_id: int,
    done: Act,
    *,
    alert_id: str,
    span_from: datetime,
    span_to: datetime | None = None,
    severity: str | None = None,
) -> None:
    """Store an act about a policy's series, from ``span_from`` to ``span_to`` (None: the act)."""
    connection.execute(
        insert(OperatorAction).values(
            policy=policy,
            series_id=series_id,
            alert_id=alert_id,
            action=done.action,
            at=done.at,
            span_from=span_from,
            span_to=span_to or done.at,
            severity=severity,
            author=done.author,
            assignee=done.assignee,
            note=done.note,
        )
    )
    if done.action == "resolve":
        _fold_again(connection, policy, to_minute_up(done.at))


def read_resolutions(connection: Connection, policy: str) -> dict[int, list[int]]:
    """Series to the minutes, rounded up, ascending, at which operators resolved its episodes."""
    rows = connection.execute(
        select(OperatorAction.series_id, OperatorAction.at)
        .where(OperatorAction.policy == policy, OperatorAction.action == "resolve")
        .order_by(OperatorAction.at, OperatorAction.id)
    )
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row.series_id, []).append(to_minute_up(row.at))
    return found


def _check_name(name: str, what: str) -> None:
    if not name.strip():
        raise AlertError(f"{what} is missing")
    if len(name) > _LONGEST_NAME:
        raise AlertError(f"{what} has more than {_LONGEST_NAME} characters; shorten it")


def _fold_again(connection: Connection, policy: str, minute: int) -> None:
    """Let the next fold begin before ``minute``, and reach the evaluation that knows of it."""
    state: Row[tuple[int | None, ...]] = lock_policy(connection, policy)
    until = read_timeline(connection, policy).first_evaluation(minute) or minute
    connection.execute(
        update(PolicyState)
        .where(PolicyState.policy == policy)
        .values(
            fold_from=minute - 1 if state.fold_from is None else min(minute - 1, state.fold_from),
            fold_to=until if state.fold_to is None else max(until, state.fold_to),
        )
    )
