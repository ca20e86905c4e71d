"""What texts say of an alert besides its labels and annotations; as it was when decided.

It is read under the group's lock, in the transaction that inserts the delivery, and stored with
it: a message that is sent an hour later says what was true when it was decided. It is data, not
text: receivers have different languages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, select, tuple_
from sqlalchemy.exc import DBAPIError

from monitoring.alerts.read import AlertRow
from monitoring.notify.evidence import Evidence, EvidenceReader
from monitoring.notify.payload import AlertPayload
from monitoring.policy.definition import Policy
from monitoring.policy.kinds import parse_policy
from monitoring.policy.signal_policy import SeriesPolicy
from userdb.models import Alert, PolicyState, PolicyVersion
from userdb.times import from_minute

log = logging.getLogger(__name__)

#: Evidence is read for so many alerts of a message; texts list hardly more.
_WITH_EVIDENCE = 5
#: Alerts that are looked up in one query.
_BATCH = 1000
#: Fields of a policy that say nothing about when it fires.
_NOT_THE_CONDITION = frozenset(
    {
        *("name", "kind", "severity", "labels", "annotations", "by", "where", "signal"),
        *("condition", "keep_firing_for", "cooldown", "flapping", "evaluation_interval"),
        *("no_data", "forget", "delay", "min_coverage"),
    }
)


class AlertContext(BaseModel):
    """Of one alert. Everything may be missing: what can't be read stops no message.

    Attributes:
        episode: the alert's id.
        since: when its condition began to hold; it fires since the payload's ``startsAt``.
        value: when it fired.
        unit: of the value: share, ms, bytes, percent, …
        condition: what the value is held against, as the policy says it.
    """

    model_config = ConfigDict(frozen=True)

    episode: str = ""
    since: datetime | None = None
    value: float | None = None
    unit: str = ""
    condition: str = ""
    evidence: tuple[Evidence, ...] = ()


def contexts_of(stored: Mapping[str, Any]) -> dict[str, AlertContext]:
    """``delivery.context`` as ``read_context`` made it; what is not of that form is left out."""
    found = {}
    for mark, data in stored.items():
        try:
            found[mark] = AlertContext.model_validate(data)
        except ValidationError:
            log.warning("the context of alert %s is of another version; left out", mark)
    return found


def read_context(
    connection: Connection,
    messages: Iterable[Sequence[AlertPayload]],
    episodes: Mapping[str, str],
) -> dict[str, Any]:
    """The contexts of the messages' alerts, by fingerprint, as JSON for ``delivery.context``.

    Never an error but a lost connection: what can't be read is logged and missing.

    Args:
        episodes: fingerprint → the alert's id.
    """
    firing: dict[str, bool] = {}
    for alerts in messages:
        for alert in alerts:
            mark = alert["fingerprint"]
            firing[mark] = firing.get(mark, False) or alert["status"] == "firing"
    try:
        return _read(connection, firing, episodes)
    except Exception as error:
        if _is_lost(error):
            raise
        log.exception("contexts of messages can't be read; they are sent without")
        return {}


def evidence_of(connection: Connection, alert: AlertRow) -> tuple[Evidence, ...]:
    """What userdb holds of an alert now: of one that is over, of when it fired (of one that never
    did, of when its condition began to hold)."""
    version = (alert.policy, alert.policy_version)
    policy = _policies(connection, {version}).get(version)
    at = (
        (alert.fired_at or alert.active_at)
        if alert.state == "resolved"
        else _reached(connection, {alert.policy}).get(alert.policy)
    )
    return () if policy is None else _evidence(EvidenceReader(connection), policy, alert.labels, at)


def _read(
    connection: Connection, firing: Mapping[str, bool], episodes: Mapping[str, str]
) -> dict[str, Any]:
    marks = {episodes[mark]: mark for mark in firing if mark in episodes}
    rows = _episodes(connection, sorted(marks))
    policies = _policies(connection, {(row.policy, row.policy_version) for row in rows})
    reached = _reached(connection, {row.policy for row in rows})
    reader = EvidenceReader(connection)
    found: dict[str, Any] = {}
    left = _WITH_EVIDENCE
    by_id = {row.id: row for row in rows}
    for mark in firing:  # in the order of the messages: what is new comes first
        row = by_id.get(episodes.get(mark, ""))
        if row is None:
            continue
        policy = policies.get((row.policy, row.policy_version))
        evidence: tuple[Evidence, ...] = ()
        if firing[mark] and left and policy is not None:
            left -= 1
            evidence = _evidence(reader, policy, row.labels, reached.get(row.policy))
        found[mark] = AlertContext(
            episode=row.id,
            since=row.active_at,
            value=row.value,
            unit=_unit(policy),
            condition="" if policy is None else condition_text(policy),
            evidence=evidence,
        ).model_dump(mode="json")
    return found


def _episodes(connection: Connection, ids: Sequence[str]) -> list[Any]:
    rows: list[Any] = []
    for at in range(0, len(ids), _BATCH):
        rows += connection.execute(
            select(
                Alert.id,
                Alert.policy,
                Alert.policy_version,
                Alert.labels,
                Alert.active_at,
                Alert.value,
            ).where(Alert.id.in_(ids[at : at + _BATCH]))
        )
    return rows


def _policies(
    connection: Connection, versions: set[tuple[str, int]]
) -> dict[tuple[str, int], Policy]:
    """The definitions in force for the episodes; one that can't be read any more is left out."""
    rows = connection.execute(
        select(PolicyVersion.policy, PolicyVersion.version, PolicyVersion.definition).where(
            tuple_(PolicyVersion.policy, PolicyVersion.version).in_(sorted(versions))
        )
    )
    found = {}
    for row in rows:
        try:
            if row.definition is not None:
                found[row.policy, row.version] = parse_policy(row.definition)
        except ValueError:
            log.warning("policy %s, version %d: its definition can't be read", *row[:2])
    return found


def _reached(connection: Connection, names: set[str]) -> dict[str, datetime]:
    rows = connection.execute(
        select(PolicyState.policy, PolicyState.watermark).where(
            PolicyState.policy.in_(sorted(names)), PolicyState.watermark.is_not(None)
        )
    )
    return {row.policy: from_minute(row.watermark) for row in rows}


def _evidence(
    reader: EvidenceReader, policy: Policy, labels: Mapping[str, str], at: datetime | None
) -> tuple[Evidence, ...]:
    if at is None:
        return ()
    try:
        return tuple(reader.read(policy, labels, at))
    except Exception as error:
        if _is_lost(error):
            raise
        log.exception("policy %s: evidence can't be read; left out", policy.name)
        return ()


def _is_lost(error: Exception) -> bool:
    """Whether the transaction is gone, so that nothing can be written in it either."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _unit(policy: Policy | None) -> str:
    # other kinds' values are ratios, counts of labels, deviations: not in the signal's unit
    if isinstance(policy, SeriesPolicy) and policy.kind == "threshold":
        return policy.signals[0].unit
    return ""


def condition_text(policy: Policy) -> str:
    """When the policy fires, in its own words: ``requests.timeout_ratio > 0.05, window 5m``."""
    written = policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "window" in type(policy).model_fields:
        written["window"] = policy.model_dump(mode="json", include={"window"})["window"]
    signal = written.get("signal", "")
    if "condition" in written:
        head = f"{signal} {written['condition']}"
    else:
        head = f"{policy.kind} {signal}".strip()
    said = [head] + [
        f"{name} {_plain(value)}"
        for name, value in written.items()
        if name not in _NOT_THE_CONDITION
    ]
    return ", ".join(said)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_plain(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
