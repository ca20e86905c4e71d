"""Episodes as receivers see them, and what is true of them now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

#: An episode that ended longer ago and was never told is history.
TOLD_LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Episode:
    """An episode that fired and holds now; ``labels`` are those that receivers get."""

    id: str
    policy: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fired_at: datetime
    #: None while it fires
    resolved_at: datetime | None
    fingerprint: str
    #: in userdb
    series_id: int = 0


@dataclass(frozen=True)
class Reference:
    """An episode that a receiver believes to be firing."""

    episode: str
    policy: str
    since: datetime


@dataclass(frozen=True)
class Present:
    """What is true now. Mappings by fingerprint, unless said otherwise; lists oldest first.

    Attributes:
        fresh: policies whose state is known; all below is about these alone.
        reached: policy → event time up to which its state is known.
        firing: what fires.
        ended: what ended within ``TOLD_LATE``.
        standing: by episode id, the referred episodes that hold, ended ones too.
        heirs: of referred episodes that don't hold: those that ended after they had begun.
        stale: policies whose state is too old to tell anybody.
        flapping: fingerprints of the alerts that flap.
        acknowledged: ids of the episodes that fire or flap and are acknowledged.
    """

    fresh: frozenset[str]
    reached: Mapping[str, datetime]
    firing: Mapping[str, Episode]
    ended: Mapping[str, Sequence[Episode]]
    standing: Mapping[str, Episode]
    heirs: Mapping[str, Sequence[Episode]] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    flapping: frozenset[str] = frozenset()
    acknowledged: frozenset[str] = frozenset()

    def only(self, marks: Collection[str]) -> Present:
        """The part that is about the alerts with these fingerprints."""
        return replace(
            self,
            firing={mark: self.firing[mark] for mark in marks if mark in self.firing},
            ended={mark: self.ended[mark] for mark in marks if mark in self.ended},
        )
