"""A MariaDB server of the tests' own: scratch folder, free port on 127.0.0.1, ended by its pid."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import URL

from userdb.migrate import upgrade
from userdb.store import open_store

#: Characters that a URL must escape are in it on purpose.
PASSWORD = "p@ss:w/rd%41"
USER = "monitoring"


@dataclass(frozen=True)
class MariaDbServer:
    """A running server. ``folder`` holds its data, socket and log."""

    port: int
    folder: Path
    pid: int
    #: ends it by SIGKILL and starts it again, on the same port; returns when it answers
    restart: Callable[[], None]

    def url(self, database: str, driver: str = "mysql") -> str:
        """The URL of a database, with the password in it."""
        return URL.create(
            driver,
            username=USER,
            password=PASSWORD,
            host="127.0.0.1",
            port=self.port,
            database=database,
        ).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> None:
        """Run statements as the server's root."""
        with self.root() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, run as the server's root."""
        with self.root() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> str:
        """Create an empty database, replacing one of that name; return its URL."""
        self.execute(
            f"DROP DATABASE IF EXISTS `{name}`",
            f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4",
        )
        return self.url(name)

    def create_userdb(self, name: str) -> str:
        """Create a database with userdb's schema and no rows; return its URL."""
        url = self.create_database(name)
        store = open_store(url)
        upgrade(store)
        store.close()
        return url

    def root(self) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        """A connection as the server's root."""
        return pymysql.connect(
            unix_socket=str(self.folder / "s"), user="root", autocommit=True, charset="utf8mb4"
        )


@contextmanager
def run_mariadb(*options: str) -> Iterator[MariaDbServer]:
    """Start a server and end it. ``options`` are added to mariadbd's command line."""
    # not pytest's tmp_path: a socket's path may have 107 characters
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    # Debian has the daemon in a folder that only root's PATH names
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    daemon, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db")
    if daemon is None or install is None:
        raise RuntimeError("mariadbd is not installed: apt-get install mariadb-server")
    user = f"--user={getpass.getuser()}"
    # servers that share a folder for temporary tables take away each other's
    scratch = folder / "tmp"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [
                install,
                "--no-defaults",
                user,
                f"--datadir={folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            check=True,
            env=environment,
            stdout=log,
            stderr=log,
        )
        port = _free_port()
        command = [
            daemon,
            "--no-defaults",
            user,
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 's'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--local-infile=1",
            "--performance-schema=OFF",
            # as Debian and Ubuntu ship it, so that tests see what they would
            "--character-set-server=utf8mb4",
            "--max-allowed-packet=64M",
            # nothing here must outlive the machine's power
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-flush-method=nosync",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=64M",
            "--innodb-lock-wait-timeout=10",
            *options,
        ]

        def launch() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

        processes = [launch()]

        def restart() -> None:
            processes[-1].kill()
            processes[-1].wait()
            processes.append(launch())
            _wait(server, processes[-1])

        server = MariaDbServer(port, folder, processes[0].pid, restart)
        try:
            _wait(server, processes[0])
            server.execute(
                f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
                f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1'",
            )
            yield server
        finally:
            processes[-1].terminate()
            try:
                processes[-1].wait(30)
            except subprocess.TimeoutExpired:
                processes[-1].kill()
                processes[-1].wait()
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(server: MariaDbServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.execute("SELECT 1")
            return
        except pymysql.err.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"mariadbd did not start:\n{log}") from None
            time.sleep(0.05)
