from __future__ import annotations

import subprocess
import sys
import threading
import time

from include.collectors.time_limit import call_all


def test_outcomes_come_in_order_and_errors_stay_with_their_call() -> None:
    def fail() -> int:
        raise ValueError("no")

    outcomes = call_all([lambda: 1, fail, lambda: 3], workers=2)
    assert [outcome.value for outcome in outcomes] == [1, None, 3]
    assert isinstance(outcomes[1].error, ValueError)
    assert all(outcome.in_time for outcome in outcomes)


def test_a_call_that_hangs_costs_the_time_limit_only() -> None:
    release = threading.Event()
    began = time.perf_counter()
    outcomes = call_all([lambda: release.wait(60), lambda: True], workers=2, timeout_s=0.3)
    assert time.perf_counter() - began < 5
    assert [outcome.in_time for outcome in outcomes] == [False, True]
    release.set()


def test_no_more_than_so_many_run_at_the_same_time() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def call() -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return True

    assert all(outcome.value for outcome in call_all([call] * 20, workers=3))
    assert most == 3


def test_no_calls() -> None:
    assert call_all([], workers=0) == []


def test_a_call_left_behind_does_not_keep_the_process() -> None:
    program = (
        "import time\n"
        "from include.collectors.time_limit import call_all\n"
        "call_all([lambda: time.sleep(60)], workers=1, timeout_s=0.1)\n"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
    assert time.perf_counter() - began < 30
