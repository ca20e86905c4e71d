"""Calls at the same time, none of which is waited for longer than a time limit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from monitoring.log_context import in_this_context

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of a call: a value, an error, or neither where the time was over."""

    value: T | None = None
    error: Exception | None = None

    @property
    def in_time(self) -> bool:
        return self.value is not None or self.error is not None


def call_all(
    calls: Sequence[Callable[[], T]], *, workers: int, timeout_s: float | None = None
) -> list[Outcome[T]]:
    """Make every call, ``workers`` at the same time, and return their outcomes in order.

    A call must not return None. One that is still running at the time limit is left behind: its
    thread doesn't keep the process from ending, which one of a ThreadPoolExecutor would.
    """
    deadline = None if timeout_s is None else time.perf_counter() + timeout_s
    waiting: queue.SimpleQueue[tuple[int, Callable[[], T]]] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[int, Outcome[T]]] = queue.SimpleQueue()
    for item in enumerate(calls):
        waiting.put(item)

    def work() -> None:
        while deadline is None or time.perf_counter() < deadline:
            try:
                index, call = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                outcome = Outcome(value=call())
            except Exception as error:
                outcome = Outcome[T](error=error)
            finished.put((index, outcome))

    for _ in range(min(workers, len(calls))):
        threading.Thread(target=in_this_context(work), daemon=True, name="collector").start()
    outcomes: list[Outcome[T]] = [Outcome() for _ in calls]
    for _ in calls:
        rest = None if deadline is None else deadline - time.perf_counter()
        try:
            index, outcome = finished.get(timeout=None if rest is None else max(rest, 0.0))
        except queue.Empty:
            break
        outcomes[index] = outcome
    return outcomes
