"""A real Airflow of one's own: started on a free port of 127.0.0.1, ended without a trace.

Everything it writes lies in the folder that it is given, and in a temporary one that ends with
it; the user's AIRFLOW_HOME and databases are not looked at.
"""

from __future__ import annotations

import json
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import requests

from demo.airflow_api import AirflowApi
from demo.airflow_environment import USER, inherited_environment, scratch_settings
from demo.celery_workers import (
    celery_settings,
    is_ready,
    kill_tree,
    worker_command,
    worker_names,
)
from demo.metadata_postgres import MetadataPostgres, PostgresStartError
from demo.process_group import ProcessGroup
from demo.processes import LOOPBACK, is_free

__all__ = ["USER", "AirflowServer", "AirflowStartError"]

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
        broker: URL of a broker (``redis://…``, ``amqp://…``): tasks then run in Celery workers
            and not in the scheduler's own processes. The metadata takes their results.
        workers: how many Celery workers; each runs ``worker_tasks`` tasks at a time.

    While it runs, ``home/airflow.env`` makes ``bin/airflow`` and ``bin/monitoring`` look at it:
    ``AIRFLOW_ENVIRONMENT_FILE=…/airflow.env bin/airflow dags list``.

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
        broker: str | None = None,
        workers: int = 2,
        worker_tasks: int = 2,
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self.port = _free_port(port)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.password = secrets.token_urlsafe(12)
        self.api = AirflowApi(self.url, USER, self.password)
        self._passwords = self.home / "passwords.json"
        self.timings: dict[str, float] = {}
        self._metadata = MetadataPostgres() if metadata == "postgres" else None
        self._wanted = {
            name: command
            for name, command in _COMPONENTS.items()
            if triggerer or name != "triggerer"
        }
        self.workers = worker_names(workers) if broker else ()
        for name in self.workers:
            self._wanted[name] = worker_command(name, worker_tasks)
        self._group: ProcessGroup | None = None
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        database = self._metadata.url if self._metadata else f"sqlite:///{self.home}/airflow.db"
        self._own_environment = {
            **scratch_settings(self.home, self.url, database, self._passwords),
            **(celery_settings(broker, database) if broker else {}),
            **(env or {}),
        }
        self.environment = {**inherited_environment(), **self._own_environment}
        self.environment_file = self.home / "airflow.env"

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
        # a second Ctrl-C must not leave half of them behind
        with _sigint_held():
            self.api.close()
            group, self._group = self._group, None
            self._components = {}
            if group is not None:
                group.end(patience, spared=self._metadata.pids if self._metadata else ())
            if self._metadata is not None:
                self._metadata.stop()
            if group is not None:
                group.close()
            self.environment_file.unlink(missing_ok=True)

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

    def worker_pid(self, name: str) -> int:
        """The process of a running Celery worker; its tasks run in descendants of it."""
        return self._components[name].pid

    def kill_worker(self, name: str) -> None:
        """End a Celery worker and all that it started at once, as a machine's crash does."""
        kill_tree(self._components.pop(name))

    def start_worker(self, name: str, timeout: float = 180) -> None:
        """Start a Celery worker again that was killed, and return when it takes tasks.

        Raises:
            AirflowStartError: it ended, or took no tasks in time.
        """
        log, deadline = self._log(name), time.monotonic() + timeout
        written = log.stat().st_size
        self._spawn(name, self._wanted[name])
        while not is_ready(name, log, written):
            self.check()
            if time.monotonic() > deadline:
                raise self._failed(name, "was not ready in time")
            time.sleep(0.25)

    # --- starting ------------------------------------------------------------------------------

    def _start(self, progress: Callable[[str], None], deadline: float) -> None:
        began = time.monotonic()

        def step_done(name: str) -> None:
            self.timings[name] = round(time.monotonic() - began, 1)

        self.logs.mkdir(parents=True, exist_ok=True)
        self._write_secrets()
        folder = self._metadata.folder if self._metadata else self.home / "no-folder"
        self._group = group = ProcessGroup(folder)
        progress("metadata database")
        if self._metadata is not None:
            self._metadata.start(group.id)
        step_done("metadata started")
        self._spawn("db-migrate", ("db", "migrate"))
        while self._components["db-migrate"].poll() is None:
            if time.monotonic() > deadline:
                raise self._failed("db-migrate", "did not finish in time")
            time.sleep(0.05)
        self._finished("db-migrate")
        step_done("metadata migrated")
        progress("Airflow's components")
        for name, command in self._wanted.items():
            self._spawn(name, command)
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
        assert self._group is not None
        self._components[name] = self._group.spawn(
            _airflow(*arguments), cwd=self.home, env=self.environment, log=self._log(name)
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
            if (
                name in _HEALTH_NAMES
                and (health.get(_HEALTH_NAMES[name]) or {}).get("status") != "healthy"
            )
            or (name in self.workers and not is_ready(name, self._log(name)))
        ]

    # --- files ---------------------------------------------------------------------------------

    def _write_secrets(self) -> None:
        lines = [f"{name}={value}\n" for name, value in self._own_environment.items()]
        password = json.dumps({USER: self.password}) + "\n"
        for path, text in (
            (self._passwords, password),
            (self.environment_file, "".join(lines)),
        ):
            path.touch(mode=0o600)
            path.write_text(text)

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
