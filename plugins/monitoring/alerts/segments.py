"""A series' evidence as segments of known evaluations: what the state machine walks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitoring.scoring.classes import EvaluationClass, Interval


@dataclass(frozen=True)
class Segment:
    """``count`` known evaluations of one class, beginning at ``first``."""

    first: int
    count: int
    evaluation_class: EvaluationClass
    values: Any

    def split(self, at: int, interval: int) -> tuple[Segment, Segment]:
        """The evaluations before the time ``at``, and the others; both have some."""
        index = -(-(at - self.first) // interval)
        return (
            replace(self, count=index, values=self.values[:index]),
            replace(
                self,
                first=self.first + index * interval,
                count=self.count - index,
                values=self.values[index:],
            ),
        )


def segments(
    parts: Iterable[Interval],
    unknown: Sequence[tuple[int, int]],
    after: int,
    until: int,
    interval: int,
) -> Iterator[Segment]:
    """The known evaluations in (after, until] in order: evidence, and clear between it.

    GONE stands even where the evaluation is unknown; everything else there is left out.
    """
    at = after - after % interval + interval
    last = until - until % interval
    for part in sorted(parts, key=lambda one: one.first):
        yield from _clear(at, part.first - interval, unknown, interval)
        if part.evaluation_class is not EvaluationClass.UNKNOWN:
            count = (part.last - part.first) // interval + 1
            yield Segment(part.first, count, part.evaluation_class, part.values)
        at = part.last + interval
    yield from _clear(at, last, unknown, interval)


def _clear(
    first: int, last: int, unknown: Sequence[tuple[int, int]], interval: int
) -> Iterator[Segment]:
    at = first
    for low, high in unknown:
        if high < at:
            continue
        if low > last:
            break
        if low > at:
            yield Segment(at, (low - at) // interval, EvaluationClass.CLEAR, ())
        at = high + interval
    if at <= last:
        yield Segment(at, (last - at) // interval + 1, EvaluationClass.CLEAR, ())
