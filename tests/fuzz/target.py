"""What can be fuzzed: untrusted input, and what has to hold whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A reader of input that others write.

    Attributes:
        open: makes what the checks need, and gives the check: it raises for input that crashes the
            reader, or that breaks one of its promises. Called once a process.
        seeds: good input, to begin with.
        words: what the input's format gives a meaning to.
        lines: how many lines an input has where it is made of lines that have nothing to do with
            each other; 1 for a document.
    """

    name: str
    open: Callable[[], Callable[[bytes], None]]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()
    lines: int = 1
