"""Processes that work on one userdb at once neither duplicate nor lose a transition."""

from __future__ import annotations

import subprocess
import sys

from sqlalchemy import func, select

from tests.monitoring.facts import T0, cover, put_requests
from tests.monitoring.test_any_order import evidence
from tests.monitoring.test_history import clear, export, quiet, run, steps, timeouts, write_policies
from userdb.models import AlertTransition

SPAN = 60


def put_facts(store) -> None:
    put_requests(store, quiet(*range(SPAN)) | timeouts(4, 5, 6, 7, 20, 21, 22, 40, 41, 42))
    cover(store, T0 - 30, T0 + SPAN)


def test_processes_at_once_give_the_history_of_one_run(store, tmp_path):
    loaded = write_policies(tmp_path / "p")
    put_facts(store)
    url = store.url.url.render_as_string(hide_password=False)
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.monitoring.window_worker"),
                *(url, str(tmp_path / "p"), str(T0), str(T0 + SPAN), "5", str(4 * number)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0

    at_once, proof = export(store), evidence(store)
    with store.read() as connection:
        held = connection.scalar(
            select(func.count())
            .select_from(AlertTransition)
            .where(AlertTransition.superseded_at.is_(None))
        )
    assert held == len(at_once["transitions"])
    clear(store)
    put_facts(store)
    run(store, loaded, T0, T0 + SPAN)
    assert export(store) == at_once
    assert evidence(store) == proof
    assert [to for _, to in steps(store)].count("firing") == 3
