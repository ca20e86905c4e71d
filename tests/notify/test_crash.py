"""kill -9 at every step between deciding and recording: nothing lost, at most one repeat."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from monitoring.notify import Receiver, notify

from tests.notify import crash
from tests.notify.episodes import NOW, add_policy, deliveries, minutes, put_alert, set_watermark
from tests.notify.hooks import listening

#: Where the receiver has the message already.
SENT_BEFORE = ("after it is sent", "before recorded is committed", "after recorded is committed")
REPEATED = ("after it is sent", "before recorded is committed")


@pytest.mark.parametrize("step", crash.STEPS)
def test_a_message_survives_the_death_of_its_process(store, step):
    add_policy(store)
    put_alert(store, "a")
    with listening() as hook:
        url = store.url.url.render_as_string(hide_password=False)
        died = subprocess.run(
            [sys.executable, Path(crash.__file__), url, hook.url, step, NOW.isoformat()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert len(hook.received) == (step in SENT_BEFORE)
        ops = Receiver("ops", hook.url)
        # at once: what a dead process holds is left alone until its lease is over
        notify(store, now=NOW, receivers=[ops], deadline_s=0.5)
        notify(store, now=NOW + minutes(5), receivers=[ops], deadline_s=5)
        set_watermark(store, NOW + minutes(10))
        put_alert(store, "a", resolved_at=NOW + minutes(6))
        report = notify(store, now=NOW + minutes(10), receivers=[ops], deadline_s=5)
    assert report.pending == 0
    rows = deliveries(store)
    assert [row.status for row in rows] == ["sent", "sent"]
    firing, resolved = (row.id for row in rows)
    assert Counter(hook.keys) == {firing: 1 + (step in REPEATED), resolved: 1}
    assert hook.keys[-1] == resolved
    bodies = {one.key: one.body for one in hook.received}
    assert all(one.body == bodies[one.key] for one in hook.received)
