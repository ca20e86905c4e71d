"""A window that expects samples must hold one."""

from __future__ import annotations

from datetime import timedelta

from monitoring.policy.cadence import refuse_short_windows
from monitoring.policy.loader import load_policies

TEXT = """
policies:
  - {name: short, signal: containers.cpu_percent, window: 2m, condition: "> 90"}
  - {name: long, signal: containers.cpu_percent, window: 5m, condition: "> 90"}
  - {name: counted, signal: containers.restarts, window: 2m, condition: "> 1"}
  - {name: absent, kind: absence, signal: containers.restarts, window: 4m}
  - name: few
    kind: cardinality
    signal: containers.running
    label: container
    window: 4m
    condition: "< 1"
  - {name: new, kind: new_value, signal: containers.pids, label: image, window: 1m}
  - {name: requests, signal: requests.count, window: 1m, condition: "> 1"}
"""


def test_a_window_shorter_than_the_cadence_is_refused_and_the_others_stay(tmp_path):
    (tmp_path / "p.yaml").write_text(TEXT)
    loaded = refuse_short_windows(load_policies(tmp_path), {"container": timedelta(minutes=5)})
    assert [policy.name for policy in loaded.policies] == ["counted", "long", "new", "requests"]
    assert loaded.broken == {"short", "absent", "few"}
    assert "window 2m is shorter than the 5m between two samples" in str(loaded.errors[-1])
