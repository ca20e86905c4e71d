"""docs/containers.md names the settings and signals that there are, and its example is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.cli import app
from monitoring.signals import SIGNALS
from typer.testing import CliRunner

from include.collectors.container_stats.credentials import TlsSettings
from include.collectors.container_stats.labels import SERVICE_LABELS
from include.collectors.container_stats.runtimes import runtime_names
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from tests.servers.scripted_engine import run_scripted_engine

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "containers.md").read_text("utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))


def _block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


def test_the_hosts_on_the_page_are_valid() -> None:
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", _block("yaml"))
    section = ContainerStatsSettings.model_validate(yaml.safe_load(text)["container_stats"])
    assert {host.runtime for host in section.hosts} == set(runtime_names())


def test_every_setting_runtime_and_label_is_on_the_page() -> None:
    fields = {*EngineHost.model_fields, *TlsSettings.model_fields}
    assert fields <= NAMED
    assert {"hosts_at_once", "concurrency", *runtime_names(), *SERVICE_LABELS} <= NAMED
    for name in ("hosts_at_once", "concurrency"):
        default = ContainerStatsSettings.model_fields[name].default
        assert f"`{name}` ({default})" in PAGE


def test_every_signal_on_the_page_is_one() -> None:
    named = {name for name in NAMED if name.startswith("containers.")}
    assert len(named) >= 9
    assert named <= set(SIGNALS)


def test_the_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "include.collectors.container_stats.docker_client.airflow_is_meant", lambda: False
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "shop.yaml").write_text(_block("manifest"))
    running = {"shop-web": ("shop:1", 64), "other": ("other:1", 0)}
    answers: dict[str, Any] = {
        "/containers/json": (200, [{"Id": f"id-{n}", "Names": [f"/{n}"]} for n in running])
    }
    for name, (image, memory) in running.items():
        answers[f"/containers/id-{name}/stats"] = (200, {})
        answers[f"/containers/id-{name}/json"] = (
            200,
            {
                "Id": f"id-{name}",
                "Name": f"/{name}",
                "Config": {"Image": image},
                "HostConfig": {"Memory": memory * 2**20},
                "State": {"Status": "running"},
            },
        )
    with run_scripted_engine(answers) as engine:
        host = {"name": "pods", "url": engine.url}
        (tmp_path / "sources.yaml").write_text(json.dumps({"container_stats": {"hosts": [host]}}))
        command, _, said = _block("text").partition("\n")
        done = CliRunner().invoke(
            app,
            command.removeprefix("$ bin/monitoring ").split(),
            env={"MONITORING_SOURCES": str(tmp_path / "sources.yaml")},
        )
    assert done.exit_code == 1
    assert done.stdout == said
