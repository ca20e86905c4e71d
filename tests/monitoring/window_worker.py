"""A process that scores and folds windows: ``python -m tests.monitoring.window_worker URL POLICIES
FIRST STOP STEP SHIFT``. It begins when a line comes on its standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from monitoring.policy.loader import load_policies

from tests.monitoring.test_history import run
from userdb.store import open_store


def main(url: str, policies: str, first: int, stop: int, step: int, shift: int) -> None:
    store = open_store(url)
    loaded = load_policies(Path(policies))
    print("ready", flush=True)
    sys.stdin.readline()
    windows = list(range(first, stop, step))
    for low in windows[shift:] + windows[:shift]:
        run(store, loaded, low, low + step)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
