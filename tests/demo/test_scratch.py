"""The demo works in a folder of its own, and shows its processes nothing of the user's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from monitoring.policy.loader import load_policies

from demo.routes import ROUTES
from demo.scratch import ALL_CONTAINERS, Scratch, Watched, environment
from include.collectors.config import load_settings


def test_a_second_demo_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path / "var"), Scratch(tmp_path / "var")

    assert first.folder == tmp_path / "var"
    assert second.folder != first.folder
    assert second.reason == "another demo runs in it"
    second.close()
    first.close()
    shutil.rmtree(second.folder)


def test_the_next_demo_begins_empty(tmp_path: Path) -> None:
    first = Scratch(tmp_path / "var")
    (first.folder / "access.log").write_text("a line\n")
    first.close()
    assert (first.folder / "access.log").exists()

    second = Scratch(tmp_path / "var")

    assert second.folder == first.folder
    assert not (second.folder / "access.log").exists()
    second.close()


def test_a_folder_that_can_not_be_had_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("in the way")
    scratch = Scratch(tmp_path / "var")

    assert scratch.folder.is_dir()
    assert scratch.folder != tmp_path / "var"
    assert scratch.reason
    scratch.close()
    shutil.rmtree(scratch.folder)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    scratch = Scratch(tmp_path)

    assert scratch.reason == "it holds files that no demo left there"
    assert (tmp_path / "thesis.txt").exists()
    scratch.close()
    shutil.rmtree(scratch.folder)


def test_processes_see_nothing_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "USERDB_URL",
        "AIRFLOW_CONN_USERDB",
        "AIRFLOW_HOME",
        "MONITORING_RECEIVERS",
        "MONITORING_WATCHDOG_URL",
    ):
        monkeypatch.setenv(name, "the-users-own")
    scratch = Scratch(tmp_path / "var")
    settings = scratch.settings(webhook="http://127.0.0.1:1/alerts")
    scratch.close()

    assert "the-users-own" in os.environ.values()
    assert "the-users-own" not in environment(settings).values()
    assert environment(settings)["PATH"] == os.environ["PATH"]
    assert settings["USERDB_URL"] == f"sqlite:///{scratch.folder}/userdb.sqlite"
    assert settings["MONITORING_SCHEDULE"] == "none"
    assert settings["MONITORING_WEBHOOK_URL"] == "http://127.0.0.1:1/alerts"


@pytest.mark.parametrize("engine", [None, "unix:///var/run/docker.sock"])
@pytest.mark.parametrize("live", [False, True])
def test_the_chain_can_read_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str | None, live: bool
) -> None:
    scratch = Scratch(tmp_path / "var")
    watched = Watched(engine, "monitoring-demo-1") if engine else None
    for name, value in scratch.settings(containers=watched, live=live).items():
        monkeypatch.setenv(name, value)

    settings = load_settings()
    scratch.close()

    assert [host.url for host in settings.container_stats.hosts] == [engine] * (engine is not None)
    (source,) = settings.request_logs.sources
    assert source.paths == [f"{scratch.folder}/access.log*"]
    assert {(rule.name, rule.prefix) for rule in source.service.rules} == {
        (route.service, route.prefix.rstrip("/")) for route in ROUTES
    }
    assert {(rule.name, rule.prefix) for rule in source.route.rules} == {
        (route.name, route.prefix.rstrip("/")) for route in ROUTES
    }
    loaded = load_policies()
    assert loaded.errors == ()
    assert loaded.policies


def test_a_demo_looks_at_its_own_containers_only(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "var")
    settings = scratch.settings(containers=Watched("unix:///x", "monitoring-demo-1"))
    scratch.close()

    (policy,) = (
        policy
        for policy in load_policies(settings["MONITORING_POLICIES"]).policies
        if policy.name == "container-restarts"
    )
    assert policy.where == {"container": "monitoring-demo-1-*"}
    assert ALL_CONTAINERS in Path("demo/policies/incident.yaml").read_text()
