"""A folder of the demo's own: userdb, logs, spool, Airflow's home. Nothing outside is written."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import yaml

from demo.processes import ROOT

HERE = Path(__file__).resolve().parent

#: What could lead a process of the demo to the user's own databases, policies or receivers.
_USERS_OWN = ("AIRFLOW", "MONITORING_", "USERDB_URL")
#: The lock that keeps a second demo out; and the sign that a folder is one that may be emptied.
_MARK = ".demo.lock"


class Scratch:
    """``folder``, emptied; a temporary one where it can't be had.

    It is kept after the run, for whoever wants to look, until the next one begins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = _claim(folder.resolve())
        self.temporary = self._lock is None
        self.spool = self.folder / "spool"
        self.spool.mkdir()

    @property
    def userdb_url(self) -> str:
        return f"sqlite:///{self.folder}/userdb.sqlite"

    def environment(
        self, *, docker_host: str | None = None, webhook: str = "", live: bool = False
    ) -> dict[str, str]:
        """What the services and Airflow are given, on top of an environment without the user's.

        Args:
            docker_host: the engine whose containers are collected; None: there is none.
            webhook: the receiver of notifications.
            live: the DAGs run on their schedule, with the policies that are shipped for it;
                else they run when told to, with the demo's own.
        """
        sources = yaml.safe_load((HERE / "sources.yaml").read_text())
        if docker_host is None:
            sources["container_stats"]["hosts"] = []
        if live:
            # as often as the schedule takes a sample
            sources["container_stats"]["cadence"] = "5m"
        path = self.folder / "sources.yaml"
        path.write_text(yaml.safe_dump(sources, sort_keys=False))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_USERS_OWN)}
        return kept | {
            "USERDB_URL": self.userdb_url,
            "MONITORING_SPOOL": str(self.spool),
            "MONITORING_SOURCES": str(path),
            "MONITORING_POLICIES": str((ROOT / "include" if live else HERE) / "policies"),
            "MONITORING_WEBHOOK_URL": webhook,
            "MONITORING_SCHEDULE": "" if live else "none",
            "DEMO_FOLDER": str(self.folder),
            "DEMO_DOCKER_HOST": docker_host or "",
        }

    def close(self) -> None:
        """Let the next run have the folder; a temporary one is removed."""
        if self._lock is not None:
            self._lock.close()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def _claim(folder: Path) -> tuple[Path, IO[str] | None]:
    """The folder, emptied, with the lock that keeps a second demo out; else a temporary one."""
    with suppress(OSError):
        if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).exists():
            raise OSError(f"{folder} was not made by a demo")
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _MARK).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for entry in folder.iterdir():
                if entry.name == _MARK:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        except OSError:
            # another demo runs, or it was another user's: root's files can't be removed
            lock.close()
            raise
        return folder, lock
    return Path(tempfile.mkdtemp(prefix="monitoring-demo-")), None
