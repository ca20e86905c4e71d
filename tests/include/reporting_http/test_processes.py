"""Reporting over HTTP as processes live: they fork, exit, are killed, and get signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

import pytest
from sqlalchemy import select

from include.collectors.gateway_exceptions.drain import drain
from include.gateway_client import GatewayExceptionHandler, report_gateway_exception
from include.reporting import SpoolTransport, flush_events, start_delivery
from include.reporting.claims import claim_files
from tests.include.conftest import CLIENT, event, numbered, run, spooled, start
from tests.servers.events_api import KEY
from userdb.models import MonitorEvent

#: Reports until it is killed; tells the number and the time of each event once it is reported.
FOREVER = (
    CLIENT
    + """
import itertools, os, time
for number in itertools.count():
    report("m" * 200, event_id=str(number))
    os.write(1, f"{number} {time.monotonic()}\\n".encode())
"""
)


def test_the_end_of_a_process_delivers_what_it_reported(api, environment):
    run(CLIENT + "[report('m', event_id=str(number)) for number in range(200)]", environment)
    assert api.ids() == numbered(0, 200)


def test_an_event_that_ends_the_process_is_delivered(api, environment):
    program = (
        CLIENT + "import sys\ntry: 1 / 0\nexcept ZeroDivisionError: report('dead'); sys.exit(3)"
    )
    with start(program, environment) as process:
        assert process.wait(30) == 3
    (row,) = api.events()
    assert (row["message"], row["exception_type"]) == ("dead", "ZeroDivisionError")


def test_an_event_of_the_very_end_waits_in_the_spool(api, environment, spool):
    # handlers of atexit run backwards: a first one has its turn after the last delivery
    program = (
        "import atexit\n"
        "late = []\n"
        "atexit.register(lambda: [report('m', event_id=one) for one in late])\n"
        f"{CLIENT}"
        "late.append('late')\n"
    )
    run(program, environment)
    assert (spooled(spool), api.ids()) == (["late"], [])
    run(program + "report('m', event_id='first'); late[:] = ['last']", environment)
    assert (spooled(spool), api.ids()) == (["last"], ["late", "first"])


@pytest.mark.parametrize("how", ["hanging", "away"])
def test_the_end_of_a_process_does_not_wait_long_for_a_server(api, environment, spool, how):
    if how == "away":
        api.kill()
    else:
        api.behave(hang_s=60)
    environment["MONITORING_FLUSH_TIMEOUT"] = "0.5"
    # handlers of atexit run backwards: the last delivery is between these two
    program = (
        "import atexit, time\n"
        "began = []\n"
        "atexit.register(lambda: print(time.perf_counter() - began[0]))\n"
        f"{CLIENT}"
        "atexit.register(lambda: began.append(time.perf_counter()))\n"
        "report('m', event_id='a')\n"
    )
    assert float(run(program, environment).split()[0]) < 2
    assert spooled(spool) == ["a"]


def test_a_process_killed_loses_only_what_it_reported_in_the_last_moment(api, environment, spool):
    api.behave(hang_s=60)  # nothing is delivered: all is in the queue or the spool
    with start(FOREVER, environment) as process:
        told = [process.stdout.readline().split()]
        time.sleep(1.2)
        killed = time.monotonic()
        process.send_signal(signal.SIGKILL)
        told += [line.split() for line in process.stdout.read().splitlines()]
    kept = spooled(spool)
    assert kept == numbered(0, len(kept))  # a beginning without a gap
    old = [number for number, at in told if killed - float(at) > 0.5]
    assert len(old) > 100
    assert set(old) <= set(kept)
    api.behave()
    api.kill()  # the requests that hang
    api.start()
    start_delivery()
    api.wait_for(len(kept))
    assert api.ids() == kept


def test_a_durable_process_killed_loses_nothing(api, environment, spool):
    api.behave(hang_s=60)
    with start(FOREVER, {**environment, "MONITORING_DURABLE": "true"}) as process:
        told = [process.stdout.readline().split()[0]]
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        told += [line.split()[0] for line in process.stdout.read().splitlines()]
    assert len(told) > 10
    assert set(told) <= set(spooled(spool))


def test_processes_killed_in_the_middle_of_delivery_lose_and_double_nothing(
    api, environment, spool
):
    environment["MONITORING_BATCH_EVENTS"] = "20"
    told = set()
    for turn in range(3):
        name = f"{turn}-"
        program = FOREVER.replace("event_id=str", f"event_id={name!r} + str")
        with start(program, {**environment, "MONITORING_DURABLE": "true"}) as process:
            lines = [process.stdout.readline()]
            time.sleep(0.3 + 0.1 * turn)
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines()
        told.update(name + line.split()[0] for line in lines)
    start_delivery()
    assert flush_events(20)
    ids = api.ids()
    assert len(ids) == len(set(ids))
    assert told <= set(ids)
    assert list(spool.iterdir()) == []


def test_a_fork_delivers_its_own_events_and_not_its_parents(api, environment):
    program = CLIENT + (
        "import os\n"
        "from include.reporting import flush_events\n"
        "for number in range(300): report('m', event_id=f'before-{number}')\n"
        "children = []\n"
        "for number in range(3):\n"
        "    child = os.fork()\n"
        "    if not child: children = []; break\n"
        "    children.append(child)\n"
        "for number in range(100): report('m', event_id=f'{os.getpid()}-{number}')\n"
        "assert flush_events(20)\n"
        "for child in children: assert os.waitpid(child, 0)[1] == 0\n"
    )
    run(program, environment)
    ids = api.ids()
    assert len(ids) == 300 + 4 * 100
    # nothing was sent twice, as it would be if a child had its parent's queue
    assert sum(one["repeated"] for one in api.requests()) == 0


def test_forks_while_threads_report_neither_hang_nor_lock_the_spool(api, environment, spool):
    program = CLIENT + (
        "import os, threading\n"
        "from include.reporting import flush_events\n"
        "def work(name):\n"
        "    for number in range(300): report('m', event_id=f'{name}-{number}')\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "children = []\n"
        "for number in range(10):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        report('m', event_id=f'child-{number}')\n"
        "        flush_events(20)\n"
        "        os._exit(0)\n"
        "    children.append(child)\n"
        "for child in children: assert os.waitpid(child, 0)[1] == 0\n"
        "for thread in threads: thread.join()\n"
        "assert flush_events(20)\n"
    )
    output = run(program, environment)
    assert "could not" not in output
    assert "can't" not in output
    assert len(api.wait_for(610)) == 610
    assert list(spool.iterdir()) == []


#: What a child delivers itself: its parent doesn't know of this spool.
ALONE = """
import os
def alone():
    os.environ["MONITORING_SPOOL"] += "-of-the-child"
    report("m", event_id="child")
report("m", event_id="parent")
"""


def test_a_child_of_multiprocessing_delivers_at_its_end(api, environment):
    program = (CLIENT + ALONE) + (
        "import multiprocessing as mp\n"
        "child = mp.get_context('fork').Process(target=alone)\n"
        "child.start(); child.join(); assert child.exitcode == 0\n"
    )
    run(program, environment)
    assert sorted(api.ids()) == ["child", "parent"]


def test_a_fork_that_ends_as_airflows_tasks_do_delivers(api, environment):
    program = (CLIENT + ALONE) + (
        "import atexit\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    atexit._clear()\n"
        "    alone()\n"
        "    atexit._run_exitfuncs()\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    run(program, environment)
    assert sorted(api.ids()) == ["child", "parent"]


def test_what_is_logged_while_delivering_is_not_reported(api, environment, monkeypatch):
    root = logging.getLogger()
    handler = GatewayExceptionHandler(logging.DEBUG)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(handler)
    try:
        report_gateway_exception("only this")
        assert flush_events(10)
        api.behave(status=500)
        report_gateway_exception("and this")
        assert not flush_events(10)
        api.behave()
        assert flush_events(10)
    finally:
        root.removeHandler(handler)
    assert [event["message"] for event in api.wait_for(2)] == ["only this", "and this"]


def test_a_signal_handler_may_report_while_its_thread_reports(api, environment):
    program = CLIENT + (
        "import signal, time\n"
        "marks = []\n"
        "def handler(*_): marks.append(report('from the handler'))\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "for number in range(2000): report('m', event_id=str(number))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(len(marks))\n"
    )
    count = int(run(program, environment).split()[0])
    assert count > 10
    assert len(api.wait_for(2000 + count)) == 2000 + count


def test_an_event_loop_is_not_held_up_by_a_server_that_hangs(api, environment):
    api.behave(hang_s=60)
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        for number in range(500):
            report_gateway_exception("m", event_id=str(number))
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        ticking.cancel()

    asyncio.run(main())
    assert longest < 0.5  # a server that is waited for would hold it up for 10 s


def test_processes_that_share_a_spool_deliver_each_event_once(api, environment, spool):
    api.kill()
    program = (
        CLIENT + "[report('m', event_id=f'{__import__(\"sys\").argv[1]}-{n}') for n in range(200)]"
    )
    for name in "ab":
        run(program, environment, name)
    assert len(spooled(spool)) == 400
    api.start()
    waiting = "from include.reporting import *; start_delivery(); assert flush_events(20)"
    processes = [start(waiting, environment) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=60)
    ids = api.wait_for(400)
    for name in "ab":
        mine = [one["event_id"] for one in ids if one["event_id"].startswith(name)]
        assert mine == [f"{name}-{number}" for number in range(200)]


def test_a_collector_and_a_sender_may_share_a_spool(api, environment, spool, sqlite_store):
    for number in range(400):
        SpoolTransport(spool).send([event(str(number))])
        if number % 20 == 0:
            claim_files(spool)  # many files
    start_delivery()
    while list(spool.iterdir()):
        assert drain(spool, sqlite_store).status == "ok"
    assert flush_events(10)
    with sqlite_store.read() as connection:
        collected = connection.scalars(select(MonitorEvent.event_id)).all()
    assert set(collected) | set(api.ids()) == set(numbered(0, 400))


def test_the_address_of_the_api_comes_before_that_of_userdb(api, environment, sqlite_store):
    environment["USERDB_URL"] = sqlite_store.url.url.render_as_string(hide_password=False)
    run(CLIENT + "report('m', event_id='a')", environment)
    assert api.ids() == ["a"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MONITORING_URL", "monitoring:8790"),
        ("MONITORING_URL", "ftp://monitoring"),
        ("MONITORING_URL", "http://user:hidden-secret@monitoring"),
        ("MONITORING_API_KEY", "hidden-secret\nX: y"),
        ("MONITORING_DURABLE", "perhaps"),
        ("MONITORING_QUEUE_SIZE", "many"),
        ("MONITORING_BATCH_EVENTS", "1001"),
        ("MONITORING_TIMEOUT", "nan"),
        ("MONITORING_FLUSH_TIMEOUT", "-1"),
        ("MONITORING_SPOOL_MAX_MB", "0"),
    ],
)
def test_a_wrong_setting_is_named_and_loses_no_event(
    environment, spool, monkeypatch, caplog, name, value
):
    monkeypatch.setenv(name, value)
    assert report_gateway_exception("m", event_id="a") == "a"
    assert spooled(spool) == ["a"]
    assert name in caplog.text
    assert "hidden-secret" not in caplog.text


def test_the_key_is_in_no_log_and_no_spool(api, environment, spool, caplog):
    caplog.set_level("DEBUG")
    api.behave(status=401)
    report_gateway_exception("m", event_id="a")
    assert not flush_events(5)
    api.kill()
    assert not flush_events(5)
    assert spooled(spool) == ["a"]
    assert "can't be delivered" in caplog.text
    assert KEY not in caplog.text
    assert not [path for path in spool.iterdir() if KEY.encode() in path.read_bytes()]
