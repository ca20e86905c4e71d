"""Manifests that a real Podman plays, by command and by collector."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.cli import app
from monitoring.window import Window
from sqlalchemy import select
from typer.testing import CliRunner

from include.collectors.config import Settings
from include.collectors.run import run_collector
from tests.servers.podman import PodmanServer
from userdb.models import Collection, ContainerSample, Series
from userdb.store import Store

pytestmark = pytest.mark.podman

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: {app: shop}
spec:
  containers:
    - name: web
      image: localhost/box:1
      command: [sleep, "300"]
      resources: {limits: {memory: 64Mi, cpu: 200m}}
    - name: side
      image: localhost/box:1
      command: [sleep, "300"]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - {name: app, image: 'localhost/box:1', command: [sleep, "300"]}
"""


def _check(podman: PodmanServer, folder: Path, tmp_path: Path, *options: str) -> tuple[int, str]:
    """The exit code of `monitoring pods check`, and what it prints."""
    sources = tmp_path / "sources.yaml"
    host = {"name": "local", "runtime": "podman", "url": podman.url}
    sources.write_text(json.dumps({"container_stats": {"hosts": [host]}}))
    environment = {"MONITORING_SOURCES": str(sources)}
    done = CliRunner().invoke(app, ["pods", "check", str(folder), *options], env=environment)
    return done.exit_code, done.stdout


def test_what_podman_plays_is_as_declared_until_it_changes(
    podman: PodmanServer, sqlite_store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "shop.yaml").write_text(MANIFEST)
    podman.play(MANIFEST)
    code, said = _check(podman, folder, tmp_path)
    assert code == 0, said
    assert "3 containers in 1 files are declared" in said
    assert "0 differences, 0 bad manifests" in said

    podman.podman("stop", "--time", "0", "shop-side")
    podman.podman("pod", "rm", "--force", "--time", "0", "api-pod-0")
    podman.run("stray", "sleep", "300")
    changed = MANIFEST.replace("64Mi", "128Mi").replace("localhost/box:1", "box:2", 1)
    (folder / "shop.yaml").write_text(changed)
    code, said = _check(podman, folder, tmp_path, "--format", "json")
    told = {(one["what"], one["container"]): one for one in json.loads(said)}
    assert code == 1
    assert set(told) == {
        ("wrong image", "shop-web"),
        ("wrong limit", "shop-web"),
        ("not running", "shop-side"),
        ("not running", "api-app"),
        ("not declared", "stray"),
    }
    assert told["wrong image", "shop-web"]["where"] == "shop.yaml:1 (document 1)"
    assert "is 64Mi, declared is 128Mi" in told["wrong limit", "shop-web"]["message"]

    (folder / "bad.yaml").write_text("kind: Pod\napiVersion: v1\nmetadata: {name: x}\n")
    host = {
        "name": "local",
        "runtime": "podman",
        "url": podman.url,
        "manifests": str(folder),
    }
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    report = run_collector(
        "container_stats",
        Window(end - timedelta(minutes=5), end),
        sqlite_store,
        now=datetime.now(UTC),
        settings=Settings.model_validate({"container_stats": {"hosts": [host]}}),
    )
    assert report.ok
    with sqlite_store.read() as connection:
        rows = {
            row.labels["container"]: row
            for row in connection.execute(
                select(ContainerSample, Series.labels).join(
                    Series, Series.id == ContainerSample.series_id
                )
            )
        }
        (samples,) = connection.scalars(select(Collection.samples))
    assert samples == [
        {"where": "bad.yaml:1 (document 1)", "why": "spec: Field required", "text": ""}
    ]
    states = {name: (row.state, row.running, row.down) for name, row in rows.items()}
    assert (
        states.items()
        >= {
            "shop-web": ("running", 1, 0),
            "shop-side": ("exited", 0, 1),
            "api-app": ("absent", 0, 1),
            "stray": ("running", 1, 0),
        }.items()
    )
    assert (rows["shop-web"].wrong_image, rows["shop-web"].wrong_limit) == (1, 1)
    assert rows["stray"].undeclared is None, "beside a bad manifest nobody knows"
    assert rows["api-app"].cpu_percent is None
