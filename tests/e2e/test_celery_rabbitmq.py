"""The chain on Celery with RabbitMQ, whose ways with unfinished tasks are not those of Redis.

A message is its worker's until the task has ended. A worker that dies gives it back at once; one
that has had it for longer than ``consumer_timeout`` loses it, and ends when the task has.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from include.collectors.request_logs.lock import source_lock
from tests.e2e.celery_platform import Celery, held_policy, run_celery
from tests.e2e.conftest import Receiver
from tests.servers.rabbitmq import run_rabbitmq

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.e2e,
    pytest.mark.mariadb,
    pytest.mark.rabbitmq,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
]

#: Starts of incidents, in minutes after the log's first one; one a test.
BY_HAND, KILLED, TOO_LONG = STARTS = (0, 120, 240)
#: Half an hour in RabbitMQ. No task takes as long that nobody holds up.
CONSUMER_TIMEOUT_S = 90
#: How often RabbitMQ looks for such messages.
LOOKS_EVERY_S = 60
#: 600 in Airflow: for so long a message's token is good. As there, less than the other.
QUEUED_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Celery]:
    folder = tmp_path_factory.mktemp("celery")
    env = {"AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(QUEUED_TIMEOUT_S)}
    with (
        run_rabbitmq(consumer_timeout=CONSUMER_TIMEOUT_S * 1000) as rabbit,
        run_celery(folder, receiver, rabbit.url, STARTS, env) as running,
    ):
        yield running


def test_a_run_on_two_workers_gives_the_history(celery: Celery) -> None:
    celery.run_on_both_workers(BY_HAND)
    assert _came_back(celery) == set()


def test_a_killed_workers_message_comes_back_and_changes_nothing_in_the_history(
    celery: Celery,
) -> None:
    before = _came_back(celery)
    celery.kill_worker_in("analysis.score_policies", KILLED, held_policy)
    assert len(_came_back(celery) - before) == 1


def test_a_task_beyond_the_consumers_timeout_ends_its_worker_and_changes_no_history(
    celery: Celery,
) -> None:
    platform, server, before = celery.platform, celery.platform.server, _came_back(celery)
    with source_lock(platform.store, "gateway"):
        run_id = platform.trigger(celery.incident.window(TOO_LONG, TOO_LONG + 60))
        platform.wait(
            lambda: _came_back(celery) != before,
            "the message to come back",
            CONSUMER_TIMEOUT_S + LOOKS_EVERY_S + 60,
        )
    ended = _ended_worker(celery)
    assert "PRECONDITION_FAILED - delivery acknowledgement" in _log(celery, ended)
    server.kill_worker(ended)  # takes it off the list of those that must run
    run = platform.finished(run_id, timeout=400)
    celery.succeeded(run)
    server.start_worker(ended)
    celery.assert_as_undisturbed(TOO_LONG)


def _came_back(celery: Celery) -> set[str]:
    """The messages, by their id in Celery, that workers were given more than once."""
    logs = "".join(_log(celery, name) for name in celery.platform.server.workers)
    given = Counter(re.findall(r"\[([0-9a-f-]{36})\] Executing workload in Celery", logs))
    return {message for message, times in given.items() if times > 1}


def _log(celery: Celery, worker: str) -> str:
    return (celery.platform.server.logs / f"{worker}.log").read_text(errors="replace")


def _ended_worker(celery: Celery, timeout: float = 120) -> str:
    """The worker that has ended, once one has."""
    server, deadline = celery.platform.server, time.monotonic() + timeout
    processes = {name: psutil.Process(server.worker_pid(name)) for name in server.workers}
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.status() == psutil.STATUS_ZOMBIE:
                return name
        time.sleep(0.5)
    raise AssertionError("both workers go on")
