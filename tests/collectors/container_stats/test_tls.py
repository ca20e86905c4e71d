"""Engines behind TLS that want a certificate of whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.settings import EngineHost
from tests.servers.pki import make_pki, server_context
from tests.servers.scripted_engine import run_scripted_engine
from userdb.errors import CollectionError, ConfigError

_ANSWERS: dict[str, Any] = {"/_ping": (200, b"OK"), "/containers/json": (200, [])}


@pytest.fixture(autouse=True)
def _without_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "include.collectors.container_stats.docker_client.airflow_is_meant", lambda: False
    )


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def engine(pki: Path) -> Iterator[str]:
    """The URL of an engine that lets in only who has a certificate of the test authority."""
    context = server_context(pki, ask_for_certificate=True)
    with run_scripted_engine(_ANSWERS, tls=context) as engine:
        yield engine.url


def _ask(url: str, **tls: Any) -> int:
    host = EngineHost.model_validate({"name": "far", "url": url, "tls": tls})
    return len(DockerEngine(host, timeout_s=5, concurrency=2).containers().containers)


def test_certificates_are_files_and_come_before_the_environments(
    engine: str, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pki}/client.pem")
    tls = {"ca": f"{pki}/ca.pem", "cert": f"{pki}/client.pem", "key": f"{pki}/client-key.pem"}
    assert _ask(engine, **tls) == 0


@pytest.mark.parametrize("newline", ["\n", "\\n"])
def test_certificates_are_texts_as_the_environment_holds_them(
    engine: str, pki: Path, newline: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {"ca": "ca", "cert": "client", "key": "client-key"}
    tls = {
        setting: (pki / f"{name}.pem").read_text().strip().replace("\n", newline)
        for setting, name in names.items()
    }
    assert _ask(engine, **tls) == 0
    assert list(tmp_path.iterdir()) == [], "no key is left behind"


def test_certificates_are_in_an_airflow_connection(engine: str, pki: Path, tmp_path: Path) -> None:
    extra = {
        "ca_cert": (pki / "ca.pem").read_text(),
        "client_cert": f"{pki}/client.pem",
        "client_key": (pki / "client-key.pem").read_text(),
    }
    code = (
        "import json, sys\n"
        "from include.collectors.container_stats.docker_engine import DockerEngine\n"
        "from include.collectors.container_stats.settings import EngineHost\n"
        "host = EngineHost(name='far', url=sys.argv[1], tls={'connection': 'far_engine'})\n"
        "print(DockerEngine(host, timeout_s=20, concurrency=2).containers())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, engine],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW_CONN_FAR_ENGINE": json.dumps({"conn_type": "docker", "extra": extra}),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Listing(containers=()" in done.stdout


def test_a_certificate_of_somebody_else_is_not_trusted(engine: str, pki: Path) -> None:
    with pytest.raises(CollectionError, match=r"the engine far at tcp.*certificate verify failed"):
        _ask(engine, cert=f"{pki}/client.pem", key=f"{pki}/client-key.pem")


def test_without_our_certificate_the_engine_says_no(engine: str, pki: Path) -> None:
    with pytest.raises(CollectionError, match=r"the engine far at tcp.*"):
        _ask(engine, ca=f"{pki}/ca.pem")


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({"ca": "/nowhere/ca.pem"}, r"far: tls.ca: there is no file /nowhere/ca.pem"),
        ({"ca": "line\nline"}, r"far: tls.ca: it is no PEM"),
        ({"connection": "x"}, r"far: tls: Airflow has no connection 'x'"),
    ],
)
def test_what_is_not_there_is_said(
    tls: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "include.collectors.container_stats.credentials.connection_fields", lambda _: None
    )
    with pytest.raises(ConfigError, match=said):
        _ask("tcp://127.0.0.1:1", **tls)


def test_no_error_tells_a_key(engine: str) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    with pytest.raises(CollectionError) as caught:
        _ask(engine, cert=key, key=key)
    assert "c2VjcmV0" not in str(caught.value)
    host = EngineHost.model_validate({"name": "a", "url": engine, "tls": {"cert": key, "key": key}})
    assert "c2VjcmV0" not in repr(host)
