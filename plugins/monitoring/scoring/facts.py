"""What scorers read: the minutes of signals, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitoring.policy.signal_policy import SeriesPolicy, matches
from monitoring.scoring.matrix import SignalMatrix
from monitoring.signals import Family, Signal


@dataclass(frozen=True)
class Selection:
    """Which series of which signals, and the labels by which they are grouped.

    ``signals`` are of one family.
    """

    signals: tuple[Signal, ...]
    by: tuple[str, ...]
    where: Mapping[str, str | list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: SeriesPolicy) -> Selection:
        return cls(policy.signals, policy.group_labels, policy.where)

    @property
    def family(self) -> Family:
        return self.signals[0].family

    @property
    def columns(self) -> list[str]:
        """The columns of all signals, once each."""
        return list(dict.fromkeys(name for signal in self.signals for name in signal.columns))

    def group(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The group of a series with ``labels``: an absent label is an empty one."""
        return tuple(labels.get(name, "") for name in self.by)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether ``where`` asks for a series with ``labels``."""
        return all(matches(patterns, labels.get(name, "")) for name, patterns in self.where.items())


class Facts(Protocol):
    """Read access to minutes: of userdb, of a file of series, of a test's input."""

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """The minutes [first, stop) of what ``selection`` names.

        Coverage, and when groups last had a sample, are told for ``memory`` minutes before
        ``first`` besides.
        """
