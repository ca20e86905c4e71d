"""Processes beside the test's own that work on the same userdb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from userdb.store import Store

_WORKER = Path(__file__).with_name("worker.py")


def start(store: Store, work: str, argument: object) -> subprocess.Popen[str]:
    """Start a worker; see worker.py for what it can do."""
    url = store.url.url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, str(_WORKER), url, work, str(argument)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the worker printed, once it has ended well."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out
