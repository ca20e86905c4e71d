"""A real Airflow of one's own: started on a free port of 127.0.0.1, ended without a trace.

Everything it writes lies in the folder that it is given, and in a temporary one that ends with
it; the user's AIRFLOW_HOME and databases are not looked at. All components form one process
group. Its leader waits for this process to end: so they end too where this one is killed.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

import psutil
import requests

from demo.airflow_api import AirflowApi
from demo.metadata_postgres import MetadataPostgres, PostgresStartError
from demo.processes import LOOPBACK, is_free

ROOT = Path(__file__).resolve().parent.parent
USER = "admin"

#: Names that could lead a scratch Airflow to the user's own, or change what is tested.
_USERS_OWN = ("AIRFLOW", "MONITORING_", "USERDB_URL")

#: In the environment of everything that a supervisor starts, and of what that starts.
_RUN = "AIRFLOW_SUPERVISOR_RUN"

#: Reads until the other end of its standard input is closed, then ends the group and removes
#: the metadata's folder.
_LEADER = 'trap "" INT TERM HUP; read _; kill -TERM 0; sleep 5; rm -rf -- "$1"; kill -KILL 0'

#: Log servers would listen on every address; the api-server reads task logs from disk.
_COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
_HEALTH_NAMES = {
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}


class AirflowStartError(Exception):
    """Airflow did not come up; the text says which component, and ends with its log."""


class AirflowServer:
    """Airflow's api-server, scheduler, dag-processor and, if wanted, triggerer.

    Args:
        home: AIRFLOW_HOME, created where absent: logs, secrets, password file.
        env: added to the environment of all components (USERDB_URL, MONITORING_SOURCES, …).
        metadata: ``postgres``, or ``sqlite``, on which backfills fail while the scheduler runs.
        port: the port wanted; if it is taken, or by default, a free one.
        triggerer: start one too; the chain's tasks need none.

    As a context manager it is started on entry and stopped on exit.
    """

    def __init__(
        self,
        home: Path,
        *,
        env: Mapping[str, str] | None = None,
        metadata: Literal["postgres", "sqlite"] = "postgres",
        port: int | None = None,
        triggerer: bool = False,
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self.port = _free_port(port)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.password = secrets.token_urlsafe(12)
        self.api = AirflowApi(self.url, USER, self.password)
        self._run = secrets.token_hex(8)
        self.timings: dict[str, float] = {}
        self._metadata = MetadataPostgres() if metadata == "postgres" else None
        self._wanted = [name for name in _COMPONENTS if triggerer or name != "triggerer"]
        self._leader: subprocess.Popen[bytes] | None = None
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = self._environment(env or {})

    def start(
        self, progress: Callable[[str], None] = lambda _step: None, timeout: float = 180
    ) -> Self:
        """Start everything and return when all components say that they are healthy.

        Args:
            progress: is told each step.

        Raises:
            AirflowStartError: a component ended, or was not healthy in time. Nothing is left.
        """
        try:
            self._start(progress, time.monotonic() + timeout)
        except BaseException as error:  # Ctrl-C too
            self.stop()
            if isinstance(error, PostgresStartError):
                raise AirflowStartError(str(error)) from error
            raise
        return self

    def stop(self, patience: float = 10.0) -> None:
        """End every process: TERM, and after ``patience`` seconds KILL. Can be called again."""
        self.api.close()
        if self._leader is not None:
            # A second Ctrl-C must not leave half of them behind.
            with _sigint_held():
                self._end_all(self._leader, patience)
        self._leader = None
        self._components = {}
        if self._metadata is not None:
            self._metadata.stop()

    def check(self) -> None:
        """Raise AirflowStartError where a component has ended since the start."""
        for name, process in self._components.items():
            if process.poll() is not None:
                raise self._failed(name, f"ended with code {process.returncode}")

    def cli(self, *arguments: str, timeout: float = 120) -> str:
        """Run an ``airflow`` command against this Airflow and return what it printed.

        It costs 5 s or more to start: prefer ``api``.

        Raises:
            AirflowStartError: it failed.
        """
        done = subprocess.run(
            _airflow(*arguments),
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            words = " ".join(("airflow", *arguments[:2]))
            end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
            raise AirflowStartError(f"{words} ended with code {done.returncode}:\n{end}")
        return done.stdout

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    # --- starting ------------------------------------------------------------------------------

    def _start(self, progress: Callable[[str], None], deadline: float) -> None:
        began = time.monotonic()

        def step_done(name: str) -> None:
            self.timings[name] = round(time.monotonic() - began, 1)

        self.logs.mkdir(parents=True, exist_ok=True)
        self._write_password()
        folder = str(self._metadata.folder) if self._metadata else str(self.home / "none")
        self._leader = subprocess.Popen(
            ["sh", "-c", _LEADER, "airflow-leader", folder],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        progress("metadata database")
        if self._metadata is not None:
            self._metadata.start(self._leader.pid)
        step_done("metadata started")
        self._spawn("db-migrate", ("db", "migrate"))
        while self._components["db-migrate"].poll() is None:
            if time.monotonic() > deadline:
                raise self._failed("db-migrate", "did not finish in time")
            time.sleep(0.05)
        self._finished("db-migrate")
        step_done("metadata migrated")
        progress("Airflow's components")
        for name in self._wanted:
            self._spawn(name, _COMPONENTS[name])
        waiting = self._unhealthy()
        while waiting:
            self.check()
            if time.monotonic() > deadline:
                raise self._failed(waiting[0], "was not healthy in time")
            time.sleep(0.25)
            waiting = self._unhealthy()
        step_done("healthy")

    def _finished(self, name: str) -> None:
        """Take a component that ended off the list; raise where it failed."""
        process = self._components.pop(name)
        if process.returncode:
            raise self._failed(name, f"ended with code {process.returncode}")

    def _spawn(self, name: str, arguments: tuple[str, ...]) -> None:
        assert self._leader is not None
        with self._log(name).open("ab") as log:
            self._components[name] = subprocess.Popen(
                _airflow(*arguments),
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._leader.pid,
            )

    def _unhealthy(self) -> list[str]:
        """The components that don't say that they are healthy."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(f"{self.url}/api/v2/monitor/health", timeout=10)
            health = answer.json()
        except (requests.RequestException, ValueError):
            return ["api-server"]
        return [
            name
            for name in self._wanted
            if name in _HEALTH_NAMES
            and (health.get(_HEALTH_NAMES[name]) or {}).get("status") != "healthy"
        ]

    # --- ending --------------------------------------------------------------------------------

    def _end_all(self, leader: subprocess.Popen[bytes], patience: float) -> None:
        # tasks have process groups of their own: all are known by their environment
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                if number == signal.SIGTERM:
                    for process in self._components.values():
                        process.send_signal(number)
                else:
                    os.killpg(leader.pid, number)
            for process in _processes_of(self._run):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline:
                for child in self._components.values():
                    child.poll()  # reap, or it counts as alive
                if not any(True for _ in _processes_of(self._run)):
                    break
                time.sleep(0.1)
            if number == signal.SIGTERM and self._metadata is not None:
                self._metadata.stop()
        for process in (*self._components.values(), leader):
            process.wait()
        if leader.stdin is not None:
            leader.stdin.close()

    # --- what Airflow is given -----------------------------------------------------------------

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_USERS_OWN)}
        database = self._metadata.url if self._metadata else f"sqlite:///{self.home}/airflow.db"
        own = {
            _RUN: self._run,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW_CONFIG": str(ROOT / "airflow.cfg"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
                self.logs / "dag_processor"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            # tasks don't see that one; the retention of metadata needs it
            "MONITORING_METADATA_URL": database,
            # tasks call the third: with the port alone changed they would call 8080
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            # people wait for a demo and for tests: from one task to the next without a nap
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            # the checkout doesn't change meanwhile
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "NO_PROXY": ",".join(filter(None, [kept.get("NO_PROXY"), LOOPBACK, "localhost"])),
            "PYTHONUNBUFFERED": "1",
        }
        return {**kept, **own, **extra}

    def _write_password(self) -> None:
        path = self.home / "passwords.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({USER: self.password}) + "\n")

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _failed(self, name: str, what: str) -> AirflowStartError:
        path = self._log(name)
        lines = path.read_text(errors="replace").strip().splitlines()[-20:]
        return AirflowStartError(
            "\n".join([f"Airflow's {name} {what}; the end of {path}:", *lines])
        )


def _airflow(*arguments: str) -> list[str]:
    # not `-m airflow` alone: that would put the current folder on the import path
    return [sys.executable, "-P", "-m", "airflow", *arguments]


def _free_port(wanted: int | None) -> int:
    """``wanted`` if it is free, else one below those that outgoing connections are given: what
    is free now must still be so when the api-server, seconds later, binds it."""
    if wanted and is_free(wanted):
        return wanted
    while True:
        port = random.randint(12000, 32000)
        if is_free(port):
            return port


def _processes_of(run: str) -> Iterator[psutil.Process]:
    """Every living process that was started for one supervisor, by whom and how ever."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_RUN) == run and process.status() != psutil.STATUS_ZOMBIE:
                yield process


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Ctrl-C meanwhile takes effect afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(signal.SIGINT)
