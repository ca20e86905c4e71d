"""Settings that name secrets, and the command that runs with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from monitoring.deployment.secrets import resolve

from userdb.errors import ConfigError

_GOOD = "correct-horse-battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good").write_text(f"{_GOOD}\n")
    (tmp_path / "odd").write_text("a/b:c@d%e f+g?h#i")
    return tmp_path


def test_a_secret_is_escaped_within_a_url_and_plain_on_its_own(folder: Path) -> None:
    settings = {
        "MONITORING_SECRETS": str(folder),
        "URL": "mysql://me:<secret:odd>@host/db",
        "KEY": "<secret:odd>",
        "PLAIN": "no secret",
        "TWO": "<secret:good>/<secret:good>",
    }
    assert resolve(settings) == {
        "URL": "mysql://me:a%2Fb%3Ac%40d%25e%20f%2Bg%3Fh%23i@host/db",
        "KEY": "a/b:c@d%e f+g?h#i",
        "TWO": f"{_GOOD}/{_GOOD}",
    }


def test_an_optional_secret_may_be_missing_or_empty(folder: Path) -> None:
    (folder / "empty").touch()
    settings = {"A": "<secret?:empty>", "B": "<secret?:missing>", "C": "<secret?:good>"}
    found = resolve({**settings, "MONITORING_SECRETS": str(folder)})
    assert found == {"A": "", "B": "", "C": _GOOD}


def test_every_secret_that_cannot_be_used_is_named_and_none_is_told(folder: Path) -> None:
    (folder / "empty").write_text("\n")
    (folder / "short").write_text("hunter2")
    (folder / "simple").write_text("a" * 40)
    (folder / "directory").mkdir()
    (folder / "binary").write_bytes(b"\xff" * 32)
    names = ("empty", "short", "simple", "directory", "binary", "missing", "good")
    settings = {name.upper(): f"<secret:{name}>" for name in names}
    with pytest.raises(ConfigError) as caught:
        resolve({**settings, "MONITORING_SECRETS": str(folder)})
    said = str(caught.value)
    for fault in (
        *("empty is empty", "short is shorter than 16", "simple is too simple"),
        *("directory is missing", "missing is missing", "binary is not UTF-8"),
        *("refusing to start", "deploy/make-secrets"),
    ):
        assert fault in said
    assert "good" not in said
    assert "hunter2" not in said


def _run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitoring.deployment.run", *command],
        env={**os.environ, "MONITORING_SECRETS": str(folder), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_command_sees_secrets_and_is_refused_without_them(folder: Path) -> None:
    code = ("python", "-c", "import os; print(os.environ['URL'])")
    done = _run(folder, *code, URL="x://<secret:good>@y")
    assert (done.returncode, done.stdout) == (0, f"x://{_GOOD}@y\n")
    done = _run(folder, *code, URL="x://<secret:missing>@y")
    assert done.returncode == 1
    assert "python: refusing to start" in done.stderr
    assert done.stdout == ""
