"""Fingerprints of stacks that come as text: the same for the same cause in another release."""

from __future__ import annotations

import re

from include.reporting.exceptions import fingerprint

#: Python's `File "/a/b/views.py", line 12, in handle`: the file's name and the function stay.
_PYTHON = re.compile(r'\s*File "(?:[^"]*[/\\])?([^"/\\]+)", line \d+(?:, in (.+))?$')
#: `at com.example.Handler.run(Handler.java:12)`, `at handle (/a/b/views.js:12:5)`.
_AT = re.compile(r"\s*at (.+)$")
_WORD = re.compile(r"[^\s()]+")
_SLASH = re.compile(r"[/\\]")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
#: Senders choose how long their text is; patterns take time that grows faster than it.
_MAX_LINES, _MAX_LINE = 1000, 400


def stack_fingerprint(exception_type: str, stack: str | None) -> str:
    """32 hex digits from the type and the stack's functions, without line numbers and folders.

    A stack of no known form counts without its numbers.
    """
    lines = [line[:_MAX_LINE] for line in (stack or "").splitlines()[:_MAX_LINES]]
    places = [f"{found[1]}:{found[2]}" for line in lines if (found := _PYTHON.match(line))]
    if not places:
        at = [found[1] for line in lines if (found := _AT.match(line))]
        # without one of the known forms, the first line has the message, which differs each time
        places = [_NUMBER.sub("", _WORD.sub(_without_folders, place)) for place in at or lines[1:]]
    kept = [place for at, place in enumerate(places) if at == 0 or place != places[at - 1]]
    return fingerprint(exception_type, kept)


def _without_folders(word: re.Match[str]) -> str:
    return _SLASH.split(word[0])[-1]
