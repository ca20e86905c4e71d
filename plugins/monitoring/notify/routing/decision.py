"""When a group's news is told: group_interval and repeat_interval. Pure.

A group's clock is event time. It begins with its first message, and news waits until
group_interval after the last one. What still fires is told again at the first multiple of
group_interval, counted from the last message, that is at least repeat_interval, unless all of it
is acknowledged. When nothing fires any more the group is over, and the next alert begins it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitoring.notify.difference import Hearing, difference, listed
from monitoring.notify.episode import Present
from monitoring.notify.payload import AlertPayload
from monitoring.notify.told import Told, payloads_of

_NONE = timedelta(0)


@dataclass(frozen=True)
class GroupState:
    """What is remembered of a receiver's group.

    Attributes:
        told: by fingerprint.
        flushed_at: event time of the last message; None where the group has not begun.
    """

    told: Mapping[str, Told] = field(default_factory=dict)
    flushed_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """The messages to send, in order, and what is then to be remembered."""

    messages: tuple[tuple[AlertPayload, ...], ...]
    state: GroupState


def decide(
    state: GroupState,
    present: Present,
    hearing: Hearing,
    *,
    interval: timedelta,
    repeat: timedelta | None,
    now: datetime,
    external_url: str = "",
) -> Decision:
    """What a receiver is told of a group now; asked again at once, it is nothing.

    Args:
        present: what is true, of this group's alerts alone.
        interval: group_interval.
        repeat: repeat_interval; None for never.
    """
    reached = _reached(state, present, now)
    passed = None if state.flushed_at is None else reached - state.flushed_at
    hearing = replace(hearing, begun=passed is not None)
    found = difference(state.told, present, hearing, now=now, external_url=external_url)
    messages = found.messages
    if messages and passed is not None and passed < interval:
        return Decision((), state)
    if not messages and passed is not None and _is_due(passed, interval, repeat):
        known = [one for one in found.told.values() if one.policy in present.fresh]
        again = listed(known, hearing.is_quiet)
        # what somebody has taken on needs no reminder; it is listed with what does
        taken_on = () if hearing.repeat_acknowledged else present.acknowledged
        if any(one.episode not in taken_on for one in again):
            messages = (payloads_of(again),)
    decided = replace(state, told=found.told)
    if messages:
        decided = replace(decided, flushed_at=reached)
    if all(one.status == "resolved" for one in decided.told.values()):
        decided = replace(decided, flushed_at=None)
    return Decision(messages, decided)


def _is_due(passed: timedelta, interval: timedelta, repeat: timedelta | None) -> bool:
    if repeat is None:
        return False
    return (interval * (passed // interval) if interval > _NONE else passed) >= repeat


def _reached(state: GroupState, present: Present, now: datetime) -> datetime:
    """Event time up to which the group is known; now, where its policies are all removed."""
    policies = {one.policy for one in state.told.values()}
    policies |= {one.policy for one in present.firing.values()}
    policies |= {some[0].policy for some in present.ended.values()}
    return max((present.reached[name] for name in policies if name in present.reached), default=now)
