"""A signal interrupts once, and never between a start and its being known."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from demo.processes import ROOT

_PROGRAM = """
import os, signal, sys, time
from demo.interruption import ignore_signals, interrupt_on_signals, uninterrupted

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell script's background jobs get it
interrupt_on_signals()
try:
    with uninterrupted():
        os.kill(os.getpid(), signal.{name})
        with uninterrupted():
            time.sleep(0.05)
        print("still here", flush=True)
    print("not reached", flush=True)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.{name})
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_takes_effect_after_the_moment_and_only_once(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(name=number.name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.stdout.split("\n")[:-1] == ["still here", "cleaned up"], done.stderr
    assert done.returncode == 0
