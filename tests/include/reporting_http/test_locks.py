"""Locks of spool files, and processes that are forked while they are held."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from include.reporting import SpoolTransport
from include.reporting.claims import claim_files, locked
from tests.include.conftest import event, spooled, start

#: Claims what is in the folder, and in the middle of that forks a child that lives on.
HOLDING = """
import os, sys, time
from pathlib import Path
from include.reporting.claims import claim_files, locked
with locked(claim_files(Path(sys.argv[1]))[0]) as held:
    assert held
    child = os.fork()
    if not child: time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_child_keeps_no_lock_of_a_parent_that_is_killed(spool):
    SpoolTransport(spool).send([event("a")])
    with start(HOLDING, dict(os.environ), str(spool)) as process:
        child = int(process.stdout.readline())
        (path,) = claim_files(spool)
        with locked(path, patience_s=0.05) as held:
            assert not held
        process.kill()
        process.wait()
        with locked(path, patience_s=0.5) as held:
            assert held
        os.kill(child, signal.SIGKILL)


def test_a_fork_in_the_middle_of_a_write_does_not_lock_the_spool(spool, monkeypatch):
    children = []

    def fork(_descriptor):
        if not children and not (child := os.fork()):
            time.sleep(60)  # it has copies of all descriptors
            os._exit(0)
        elif not children:
            children.append(child)

    transport = SpoolTransport(spool)
    monkeypatch.setattr(os, "fsync", fork)
    try:
        transport.send([event("a")])
        transport.send([event("b")])  # gives up after two seconds where the child keeps the lock
    finally:
        with suppress(IndexError):
            os.kill(children[0], signal.SIGKILL)
            os.waitpid(children[0], 0)
    assert spooled(spool) == ["a", "b"]
