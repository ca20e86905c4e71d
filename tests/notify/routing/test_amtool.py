"""The tree of routes, against Alertmanager's own: amtool is asked about the same labels."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.notify.routing.routes import routing

TREES = (
    """
route:
  receiver: r0
  routes:
    - matchers: ['severity="critical"']
      receiver: r1
      continue: true
      routes:
        - {matchers: ['service=~"sim.*"'], receiver: r2, continue: true}
        - {matchers: ['service!~"s|sim"', 'team=""'], receiver: r3}
    - matchers: ['team!=""']
      receiver: r4
      routes:
        - {matchers: ['team=~"a|b"'], receiver: r5}
        - {receiver: r6}
    - {matchers: ['service=~"im"'], receiver: r7}
    - {matchers: ['service=~""'], receiver: r8}
""",
    """
route:
  receiver: r0
  routes:
    - {matchers: [service=sim], receiver: r1, continue: true}
    - {matchers: ['severity=~".+"'], receiver: r2, continue: true}
    - matchers: ['team!~".+"']
      routes:
        - {matchers: ['service!=sim'], receiver: r3}
    - {receiver: r4}
""",
)
VALUES = {
    "severity": (None, "critical", "info"),
    "service": (None, "sim", "sim-1", "s"),
    "team": (None, "a", "c"),
}
LABELS = [
    {name: value for name, value in zip(VALUES, chosen, strict=True) if value}
    for chosen in itertools.product(*VALUES.values())
]


@pytest.mark.alertmanager
@pytest.mark.parametrize("text", TREES, ids=["nested", "flat"])
def test_receivers_are_those_that_alertmanager_chooses(text, tmp_path):
    amtool = shutil.which("amtool")
    assert amtool is not None
    tree = yaml.safe_load(text)
    receivers = [{"name": f"r{number}"} for number in range(9)]
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump({**tree, "receivers": receivers}))
    ours = routing(text)

    def ask(labels: dict[str, str]) -> list[str]:
        done = subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={config}"]
            + [f"{name}={value}" for name, value in labels.items()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip().split(",")

    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(ask, LABELS))
    assert len({tuple(one) for one in theirs}) > 5
    for labels, expected in zip(LABELS, theirs, strict=True):
        assert [one.receiver for one in ours.root.matching(labels)] == expected, labels
