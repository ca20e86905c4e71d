"""kill -9 of the process that pulls, between pages and within them: each row once."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import select

from include.collectors.nodes.push import push_requests
from include.collectors.nodes.wire import MinuteRow
from include.collectors.pull.settings import PullNode
from tests.collectors.pull.facts import (
    FIRST,
    STOP,
    add_events,
    counted_events,
    cover_all,
    covers,
    events,
    pull,
    requests,
    statuses,
)
from tests.servers.node import run_node
from userdb.models import PullCursor
from userdb.store import Store, open_store
from userdb.times import from_minute

ROOT = Path(__file__).resolve().parents[3]
EVENTS, MINUTES, KILLS = 4000, 900, 2


def _start(store: Store, node: PullNode) -> subprocess.Popen[str]:
    assert node.key is not None
    described = node.model_dump(mode="json") | {"key": node.key.get_secret_value()}
    url = store.url.url.render_as_string(hide_password=False)
    module = "tests.collectors.pull.pull_process"
    return subprocess.Popen(
        [sys.executable, "-m", module, url, str(FIRST), str(STOP), json.dumps(described)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _cursors(store: Store) -> set[str | None]:
    with store.read() as connection:
        return set(connection.scalars(select(PullCursor.cursor)).all())


def test_each_row_is_stored_once_whenever_the_process_is_killed(
    store: Store, tmp_path: Path, sqlite_template: Path
) -> None:
    path = tmp_path / "node.sqlite"
    shutil.copyfile(sqlite_template, path)
    node_store = open_store(f"sqlite:///{path}")
    add_events(node_store, *(f"e{number}" for number in range(EVENTS)))
    rows = [
        MinuteRow(minute=from_minute(FIRST - at), service="sim", requests=1, ok=1)
        for at in range(MINUTES)
    ]
    push_requests(node_store, "edge", minutes=rows, now=from_minute(STOP))
    cover_all(node_store)
    chance = random.Random(7)
    seen = {frozenset(_cursors(store))}
    with run_node("gw-1", node_store, delay_s=0.03) as node:
        for _ in range(KILLS):
            process = _start(store, node)
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            before, deadline = _cursors(store), time.monotonic() + 30
            while _cursors(store) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.08))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            process.stdout.close()
            seen.add(frozenset(_cursors(store)))
        report = pull(store, node)
    node_store.close()
    # each was killed on its way, and not at its end
    assert len(seen) == KILLS + 1
    assert report.rows > 0
    assert set(statuses(report).values()) == {"ok"}
    assert set(events(store).values()) == {1}
    assert len(events(store)) == counted_events(store) == EVENTS
    found = requests(store)
    assert (len(found), set(found.values())) == (MINUTES, {1})
    assert covers(store, "event") == covers(store, "request") == [0, 1, 2, 3, 4]
