"""``python -m monitoring.deployment.health``: whether this container's component is healthy.

Which component that is tells the command line of the container's first process. What Airflow's own
commands for it (`airflow jobs check`, `celery inspect ping`) answer costs five seconds of a core
each, as they import all of Airflow; these cost half a second.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from monitoring.deployment.secrets import resolve
from userdb.errors import ConfigError, MonitoringError

#: A job whose last heartbeat is older is not alive; Airflow sends one every five seconds.
_STALE_S = 60
_TIMEOUT_S = 8.0
_JOBS = {
    "scheduler": "SchedulerJob",
    "dag-processor": "DagProcessorJob",
    "triggerer": "TriggererJob",
}


class UnhealthyError(MonitoringError):
    """The component runs, and doesn't do its work."""


def check_for(command: Sequence[str]) -> Callable[[], None] | None:
    """The check for a container that runs ``command``; None where there is nothing to check.

    The check raises UnhealthyError, or whatever the client of the server that it asks raises.
    """
    words = [Path(word).name for word in command]
    if "monitoring" in words and "serve" in words:
        return lambda: answers("http://127.0.0.1:8790/ready")
    if "airflow" not in words:
        return None
    component = words[words.index("airflow") + 1 :]
    if component[:1] == ["api-server"]:
        return lambda: answers("http://127.0.0.1:8080/api/v2/version")
    if component[:2] == ["celery", "worker"]:
        return worker_answers
    if component and component[0] in _JOBS:
        return lambda: job_is_alive(_JOBS[component[0]])
    return None


def answers(url: str) -> None:
    """Whether ``url`` is answered with success."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S):
        pass


def job_is_alive(job_type: str) -> None:
    """Whether this host's job has had a heartbeat lately, by the metadata database's clock."""
    import psycopg2

    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    connection = psycopg2.connect(url, connect_timeout=int(_TIMEOUT_S))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXTRACT(EPOCH FROM now() - max(latest_heartbeat)) FROM job "
                "WHERE job_type = %s AND hostname = %s AND state = 'running'",
                (job_type, socket.gethostname()),
            )
            (age,) = cursor.fetchone() or (None,)
    finally:
        connection.close()
    if age is None:
        raise UnhealthyError(f"no {job_type} runs on {socket.gethostname()}")
    if age > _STALE_S:
        raise UnhealthyError(f"{job_type} had its last heartbeat {age:.0f} s ago")


def worker_answers() -> None:
    """Whether this host's Celery worker answers over the broker."""
    from celery import Celery

    name = f"celery@{socket.gethostname()}"
    with Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"]) as app:
        if not app.control.inspect(destination=[name], timeout=_TIMEOUT_S, limit=1).ping():
            raise UnhealthyError(f"{name} does not answer")


def main() -> None:
    """Exit with 0 where the component is healthy, else say what is wrong and exit with 1."""
    command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
    check = check_for(command)
    if check is None:
        return
    try:
        os.environ.update(resolve(os.environ))
        check()
    except ConfigError as error:
        sys.exit(str(error))
    except Exception as error:
        # whatever a client raises; the text of some holds the URL, with its password
        sys.exit(str(error) if isinstance(error, UnhealthyError) else type(error).__name__)


if __name__ == "__main__":
    main()
