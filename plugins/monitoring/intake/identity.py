"""Ids for events whose senders give none: the same content, sent again, gets the same id."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any


class ContentIds:
    """Ids for the events of one request, or of one message.

    Events that are alike in all of their content are told apart by how many of them came before
    in the same request: a request that is sent again gives the same ids again.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def of(self, content: bytes) -> str:
        """32 hex digits for the next event of that content, which should hold its time."""
        digest = hashlib.sha256(content).digest()
        number = self._seen[digest]
        self._seen[digest] += 1
        return hashlib.sha256(digest + number.to_bytes(8)).hexdigest()[:32]


def canonical(value: Any) -> bytes:
    """JSON that is equal for equal values, whatever the order of their keys."""
    # ASCII: lone surrogates have no bytes of their own
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
