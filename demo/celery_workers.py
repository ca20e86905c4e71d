"""Celery workers of a scratch Airflow: their settings, their commands, and their end."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil


def celery_settings(broker: str, database: str) -> dict[str, str]:
    """Airflow's settings as environment variables.

    Args:
        broker: URL of Redis or RabbitMQ.
        database: SQLAlchemy's URL of the metadata, which takes the results too.
    """
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        # else the scheduler starts a process a core for sending a few messages
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }


def worker_names(count: int) -> tuple[str, ...]:
    return tuple(f"worker-{number}" for number in range(1, count + 1))


def worker_command(name: str, tasks: int) -> tuple[str, ...]:
    """The arguments of ``airflow`` for a worker that runs ``tasks`` tasks at a time."""
    return (
        *("celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", str(tasks)),
        # as for the scheduler: a log server would listen on every address
        *("--skip-serve-logs", "--without-gossip", "--without-mingle"),
    )


def is_ready(name: str, log: Path, after: int = 0) -> bool:
    """Whether a worker has said that it takes tasks, in its log's bytes from ``after`` on."""
    try:
        lines = log.read_bytes()[after:].decode(errors="replace").splitlines()
        return any(f"{name}@" in line and " ready." in line for line in lines)
    except FileNotFoundError:
        return False


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants; none has time to say anything to anybody."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        stopped: set[psutil.Process] = set()
        # stopped first: what is stopped starts nothing while the others are looked up
        while fresh := {root, *root.children(recursive=True)} - stopped:
            for one in fresh:
                with suppress(psutil.Error):
                    one.send_signal(signal.SIGSTOP)
            stopped |= fresh
        for one in stopped:
            with suppress(psutil.Error):
                one.kill()
    process.wait()
