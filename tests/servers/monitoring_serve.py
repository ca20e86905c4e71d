"""``monitoring serve`` as a process of the tests' own, on a free port."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def run_serve(
    command: Sequence[str | Path], environment: Mapping[str, str], folder: Path
) -> Iterator[str]:
    """Start ``command serve``, and end it by SIGTERM; yields its URL. ``folder`` gets its log."""
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "serve", "--port", "0"],
            env=dict(environment),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + 60
        while "running on " not in (text := log.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < end, text
            time.sleep(0.05)
        yield text.split("running on ")[1].split()[0]
    finally:
        process.terminate()
        code = process.wait(30)
    assert code in (0, -15), log.read_text()
