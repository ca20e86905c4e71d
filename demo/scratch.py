"""A folder of the demo's own: userdb, logs, spool, Airflow's home. Nothing outside is written."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from demo.processes import ROOT

HERE = Path(__file__).resolve().parent

#: What could lead a process of the demo to the user's own databases, policies or receivers.
_USERS_OWN = ("AIRFLOW", "MONITORING_", "USERDB_URL")
#: The lock that keeps a second demo out; and the sign that a folder is one that may be emptied.
_MARK = ".demo.lock"
#: Of any demo, as the policies name them.
ALL_CONTAINERS = "monitoring-demo-*"


@dataclass(frozen=True)
class Watched:
    """The containers of one demo: where they run, and what their names begin with."""

    engine_url: str
    prefix: str


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """``settings``, and of this process' environment all that doesn't lead to the user's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_USERS_OWN)}
    return kept | dict(settings)


class Scratch:
    """``folder``, emptied; a temporary one where it can't be had, and ``reason`` says why.

    It is kept after the run, for whoever wants to look; the next run empties it.
    """

    def __init__(self, folder: Path) -> None:
        self.reason = ""
        self._lock: IO[str] | None = None
        try:
            self.folder, self._lock = folder, _claim(folder)
        except OSError as error:
            self.folder = Path(tempfile.mkdtemp(prefix="monitoring-demo-"))
            self.reason = error.strerror or str(error)
        self.spool = self.folder / "spool"
        self.spool.mkdir()

    @property
    def userdb_url(self) -> str:
        return f"sqlite:///{self.folder}/userdb.sqlite"

    def settings(
        self, *, containers: Watched | None = None, webhook: str = "", live: bool = False
    ) -> dict[str, str]:
        """What the services and Airflow are given as environment variables.

        Args:
            containers: the ones to watch; None: there is no runtime.
            webhook: the receiver of notifications.
            live: the DAGs run on their schedule, with the policies that are shipped for it;
                else they run when told to, with the demo's own.
        """
        sources = yaml.safe_load((HERE / "sources.yaml").read_text())
        if containers is None:
            sources["container_stats"]["hosts"] = []
        if live:
            # as often as the schedule takes a sample
            sources["container_stats"]["cadence"] = "5m"
        policies = ROOT / "include" / "policies" if live else self._policies(containers)
        path = self.folder / "sources.yaml"
        path.write_text(yaml.safe_dump(sources, sort_keys=False))
        return {
            "USERDB_URL": self.userdb_url,
            "MONITORING_SPOOL": str(self.spool),
            "MONITORING_SOURCES": str(path),
            "MONITORING_POLICIES": str(policies),
            "MONITORING_WEBHOOK_URL": webhook,
            "MONITORING_SCHEDULE": "" if live else "none",
            "DEMO_FOLDER": str(self.folder),
            "DEMO_DOCKER_HOST": containers.engine_url if containers else "",
        }

    def _policies(self, containers: Watched | None) -> Path:
        """A copy of the demo's policies, for this demo's containers and no other demo's."""
        copied = self.folder / "policies"
        copied.mkdir(exist_ok=True)
        for file in (HERE / "policies").glob("*.yaml"):
            text = file.read_text()
            if containers:
                text = text.replace(ALL_CONTAINERS, f"{containers.prefix}-*")
            (copied / file.name).write_text(text)
        return copied

    def close(self) -> None:
        """Let the next run have the folder."""
        if self._lock is not None:
            self._lock.close()


def _claim(folder: Path) -> IO[str]:
    """Empty ``folder``; the lock that keeps a second demo out.

    Raises:
        OSError: another demo runs in it, it may not be written, or holds what no demo left there.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise OSError("it holds files that no demo left there")
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / _MARK).open("w")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError("another demo runs in it") from None
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != _MARK:
                entry.unlink()
    except OSError:
        lock.close()
        raise
    return lock
