"""A process that pulls a node into a userdb, for tests that kill it: ``URL FIRST STOP NODE``."""

from __future__ import annotations

import sys

from monitoring.window import Window

from include.collectors.pull.settings import PullNode
from tests.collectors.pull.facts import pull
from userdb.store import open_store

if __name__ == "__main__":
    url, first, stop, node = sys.argv[1:]
    print("begins", flush=True)
    pull(
        open_store(url),
        PullNode.model_validate_json(node),
        window=Window.of_minutes(int(first), int(stop)),
    )
    print("ended", flush=True)
