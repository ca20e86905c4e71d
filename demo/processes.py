"""Processes that the demo starts, each with its own process group, so that nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"


class StartError(Exception):
    """A process did not come up, or ended; the text says which, why, and where its output is."""


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback address now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int = 0) -> int:
    """``preferred`` if it is free, else one that the system chooses."""
    if preferred and is_free(preferred):
        return preferred
    with closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something accepts connections on ``port`` of the loopback address."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


class Child:
    """A running process, its group and its log file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Start ``command`` in the checkout; what it prints goes to ``folder``/``name``.log.

        ``env`` is its whole environment; None: this process' own.

        Raises:
            StartError: there is no such program, or it can't be run.
        """
        log = folder / f"{name}.log"
        out: IO[bytes]
        with log.open("ab") as out:
            try:
                process = subprocess.Popen(
                    list(command),
                    cwd=ROOT,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C reaches a terminal's whole foreground group: in a group of its own a
                    # child lives until the demo stops it, in the right order
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"{name} could not be started: {error}") from error
        return cls(name, process, log)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout: float = 20.0) -> None:
        """Wait until ``ready``.

        Raises:
            StartError: the process ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                self.stop()
                raise StartError(
                    f"{self.name} was not ready after {timeout:g} s: {self.last_words()}"
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StartError where it has ended."""
        if not self.running:
            raise StartError(
                f"{self.name} ended with code {self.process.returncode}: {self.last_words()}"
            )

    def last_words(self) -> str:
        """The last lines that it printed, and the file with all of them."""
        lines = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"{' / '.join(lines) or 'it printed nothing'} ({self.log})"

    def stop(self, patience: float = 5.0) -> None:
        """End the whole group: TERM, and KILL after ``patience`` seconds."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                # reap it first: as a zombie it would count as alive
                if self.process.poll() is not None and not self._group_lives():
                    return
                time.sleep(0.02)

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the checkout with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` when this process is told to end; for servers that the demo runs."""

    def on_signal(_number: int, _frame: object) -> None:
        # a server's shutdown() waits for its loop, which runs in the thread that gets the signal
        threading.Thread(target=stop, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
