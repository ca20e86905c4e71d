"""What the watchdog has told and is not over: a file, as userdb may be what fails."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from userdb.errors import ConfigError
from userdb.url import project_root

log = logging.getLogger(__name__)


def memory_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file: ``MONITORING_WATCHDOG_MEMORY``, else beside the embedded userdb, else, where
    nothing says where that is, in AIRFLOW_HOME."""
    env = os.environ if environ is None else environ
    named = env.get("MONITORING_WATCHDOG_MEMORY", "").strip()
    if named:
        return Path(named)
    if env.get("AIRFLOW_HOME") and not env.get("MONITORING_HOME"):
        return Path(env["AIRFLOW_HOME"]) / "watchdog.json"
    return project_root() / "var" / "watchdog.json"


class Memory:
    """Subject → why, of what was told to be wrong. Processes of one machine can share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def opened(self) -> Iterator[dict[str, str]]:
        """What was told, to be changed; written at the end, also after an error. One at a time.

        Raises:
            ConfigError: the file can't be written.
        """
        lock = self._path.with_suffix(".lock")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with lock.open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                told = self._read()
                before = dict(told)
                try:
                    yield told
                finally:
                    if told != before:
                        self._write(told)
        except OSError as error:
            raise ConfigError(
                f"the watchdog can't remember what it told: {error}; name a file that can be "
                "written in MONITORING_WATCHDOG_MEMORY"
            ) from error

    def _read(self) -> dict[str, str]:
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            told = None
        if not isinstance(told, dict):
            log.error("%s is not what the watchdog wrote; it begins anew", self._path)
            return {}
        return {str(subject): str(why) for subject, why in told.items()}

    def _write(self, told: Mapping[str, str]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        new.replace(self._path)
