"""Ctrl-C and its kin: end once, in order, and never between a start and its being known."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    held = 0
    pending = False


def interrupt_on_signals() -> None:
    """INT, TERM and HUP raise KeyboardInterrupt in the main thread, once; later ones are ignored.

    Also where INT came ignored, as a shell script's background jobs get it.
    """

    def on_signal(_number: int, _frame: object) -> None:
        if _State.held:
            _State.pending = True
        else:
            _interrupt()

    for number in _SIGNALS:
        signal.signal(number, on_signal)


def ignore_signals() -> None:
    """From now on nothing interrupts: for the clean-up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A signal that comes meanwhile takes effect at the end. For moments, not for waits."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
        if _State.pending and not _State.held:
            _State.pending = False
            _interrupt()


def _interrupt() -> None:
    ignore_signals()
    raise KeyboardInterrupt
