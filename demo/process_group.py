"""A group of processes that ends as a whole, with all that they started, and with this process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

#: Reads until the other end of its standard input is closed, as it is when this process is
#: killed; then it removes a folder and ends the group.
_LEADER = 'trap "" INT TERM HUP; read _; kill -TERM 0; sleep 5; rm -rf -- "$1"; kill -KILL 0'


class ProcessGroup:
    """A new process group. Ctrl-C at the terminal doesn't reach it: its owner ends it in order.

    Args:
        folder: removed where this process is killed before it could.
    """

    def __init__(self, folder: Path) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self._leader = subprocess.Popen(
            ["sh", "-c", _LEADER, "group-leader", str(folder)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self.id = self._leader.pid

    def spawn(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a member; what it prints is appended to ``log``."""
        with log.open("ab") as out:
            child = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=self.id,
            )
        self._children.append(child)
        return child

    def end(self, patience: float, spared: Collection[int] = ()) -> None:
        """End the members and their descendants: TERM, and after ``patience`` seconds KILL.

        Descendants may have groups of their own, and lose their parents meanwhile: so all are
        stopped, which leaves nobody who could start another, then listed, then told to end.

        Args:
            spared: ids of members that the others need until they have ended.
        """
        known: set[psutil.Process] = set()
        while fresh := self._alive(spared) - known:
            _signal(fresh, signal.SIGSTOP)
            known |= fresh
        _signal(known, signal.SIGTERM)
        _signal(known, signal.SIGCONT)
        self._wait(known, patience)
        survivors = known | self._alive(spared)
        _signal(survivors, signal.SIGKILL)
        self._wait(survivors, 5.0)

    def close(self) -> None:
        """End what is left of the group, its leader too."""
        with suppress(ProcessLookupError):
            os.killpg(self.id, signal.SIGKILL)
        for child in (*self._children, self._leader):
            child.wait()
        if self._leader.stdin is not None:
            self._leader.stdin.close()

    def _alive(self, spared: Collection[int]) -> set[psutil.Process]:
        """The members, without leader and spared ones, and all their descendants."""
        children: dict[int, list[psutil.Process]] = {}
        open_: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                children.setdefault(process.ppid(), []).append(process)
                if os.getpgid(process.pid) == self.id:
                    open_.append(process)
        left_out = {self.id, *spared}
        found: set[psutil.Process] = set()
        while open_:
            process = open_.pop()
            if process not in found and process.pid not in left_out:
                found.add(process)
                open_ += children.get(process.pid, [])
        return {process for process in found if _is_alive(process)}

    def _wait(self, processes: Collection[psutil.Process], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in self._children:
                child.poll()  # or it stays behind as a zombie
            if not any(_is_alive(process) for process in processes):
                return
            time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(processes: Collection[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # psutil compares the start time too: the id may belong to somebody else by now
        with suppress(psutil.Error):
            process.send_signal(number)
