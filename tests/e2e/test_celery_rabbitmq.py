"""The chain on Celery with RabbitMQ, whose ways with unfinished tasks are not those of Redis.

A message is its worker's until the task has ended. A worker that dies gives it back at once; one
that has had it for longer than ``consumer_timeout`` loses it, and ends when the task has.
"""

from __future__ import annotations

import time
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
#: RabbitMQ's own is half an hour. No task takes as long that nobody holds up.
CONSUMER_TIMEOUT_S = 90
#: What a worker says of a message that it was given while another one works at it.
DROPPED = "Task already running elsewhere, ignoring redelivered message"


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Celery]:
    folder = tmp_path_factory.mktemp("celery")
    timeouts = {"consumer_timeout": CONSUMER_TIMEOUT_S * 1000, "channel_tick_interval": 1000}
    with (
        run_rabbitmq(**timeouts) as rabbit,
        run_celery(folder, receiver, rabbit.url, STARTS) as running,
    ):
        yield running


def test_a_run_on_two_workers_gives_the_history(celery: Celery) -> None:
    celery.run_on_both_workers(BY_HAND)


def test_a_killed_workers_message_comes_back_and_changes_nothing_in_the_history(
    celery: Celery,
) -> None:
    celery.kill_worker_in("analysis.score_policies", KILLED, held_policy)
    assert _dropped(celery) == 1


def test_a_task_beyond_the_consumers_timeout_ends_its_worker_and_changes_no_history(
    celery: Celery,
) -> None:
    platform, server, before = celery.platform, celery.platform.server, _dropped(celery)
    with source_lock(platform.store, "gateway"):
        run_id = platform.trigger(celery.incident.window(TOO_LONG, TOO_LONG + 60))
        platform.wait(
            lambda: _dropped(celery) > before, "the message to come back", CONSUMER_TIMEOUT_S + 90
        )
    ended = _ended_worker(celery)
    server.kill_worker(ended)  # takes it off the list of those that must run
    run = platform.finished(run_id, timeout=400)
    celery.succeeded(run)
    assert {one["try_number"] for one in celery.instances(run, "collect.request_logs")} == {1}
    assert "PRECONDITION_FAILED - delivery acknowledgement" in _log(celery, ended)
    server.start_worker(ended)
    celery.assert_as_undisturbed(TOO_LONG)


def _dropped(celery: Celery) -> int:
    """How many messages workers have dropped, as another one was at work."""
    return sum(_log(celery, name).count(DROPPED) for name in celery.platform.server.workers)


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
