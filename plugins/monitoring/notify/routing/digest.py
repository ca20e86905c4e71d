"""The limit of messages to a receiver, and the digest of what it held back. Pure.

What exceeds the limit is not lost: the newest state of every alert in it is kept, and told in one
message as soon as the limit allows. Until that message is delivered nothing else is, and it waits
for those before it: so a digest never tells something older than what the receiver knows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.notify.payload import AlertPayload, Group
from monitoring.notify.routing.decision import Decision
from monitoring.notify.told import Told

#: The group that digests are told in; what is held back is remembered in its row.
DIGEST = Group({"digest": "true"})
#: Messages that are left to a receiver without a limit.
UNLIMITED = sys.maxsize
Held = Mapping[str, Told]
Messages = tuple[tuple[AlertPayload, ...], ...]


@dataclass(frozen=True)
class Allowance:
    """What a receiver may be sent now.

    Attributes:
        left: messages until the limit.
        is_waiting: something is held back, or a digest is on its way.
        is_clear: nothing is on its way.
    """

    left: int
    is_waiting: bool
    is_clear: bool

    def allows(self, messages: int) -> bool:
        """Whether so many messages of one group may go out."""
        return not self.is_waiting and messages <= self.left

    def allows_digest(self) -> bool:
        return self.left >= 1 and self.is_clear


def within_limit(
    held: Held, before: Mapping[str, Told], decision: Decision, allowance: Allowance
) -> tuple[Messages, dict[str, Told]]:
    """The messages of a decision that may be sent, and what is then held back.

    Args:
        before: what was told before the decision: what it changes is news of held alerts too, also
            where it makes no message.
    """
    told = decision.state.told
    changed = {mark: one for mark, one in told.items() if before.get(mark) != one}
    kept = {mark: changed.get(mark, one) for mark, one in held.items()}
    if not decision.messages or allowance.allows(len(decision.messages)):
        return decision.messages, kept
    marks = {alert["fingerprint"] for message in decision.messages for alert in message}
    return (), {**kept, **{mark: told[mark] for mark in sorted(marks)}}
