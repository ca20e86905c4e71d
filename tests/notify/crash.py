"""Notify in a process that kills itself at a named step: run by test_crash.py.

Arguments: userdb's URL, the hook's URL, the step, and now.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import Any

from monitoring.notify import Receiver, notify
from monitoring.notify.webhook import Webhook
from sqlalchemy import event

from userdb.store import open_store

#: The first commits of a process that has one message to decide on and to send.
COMMITS = ("decided", "claimed", "recorded")
STEPS = (
    *(f"{when} {name} is committed" for name in COMMITS for when in ("before", "after")),
    "before it is sent",
    "after it is sent",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str, engine: Any) -> None:
    """Make the process kill itself at ``step``."""
    if step.endswith("sent"):
        send = Webhook.send

        def sending(self: Webhook, message: Any) -> Any:
            if step.startswith("before"):
                die()
            receipt = send(self, message)
            die()
            return receipt

        Webhook.send = sending  # type: ignore[method-assign]
        return
    when, name, *_ = step.split()
    commits = 0

    @event.listens_for(engine, "commit")
    def on_commit(connection: Any) -> None:
        nonlocal commits
        if COMMITS[commits] == name:
            if when == "after":
                connection.connection.commit()
            die()
        commits += 1


def main() -> None:
    userdb_url, hook_url, step, now = sys.argv[1:]
    store = open_store(userdb_url)
    arm(step, store.engine)
    report = notify(store, now=datetime.fromisoformat(now), receivers=[Receiver("ops", hook_url)])
    raise SystemExit(f"still alive: {report}")


if __name__ == "__main__":
    main()
