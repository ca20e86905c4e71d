from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from include.collectors.config import DEFAULT_PATH, load_settings
from userdb.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sources.yaml"
    monkeypatch.setenv("MONITORING_SOURCES", str(path))
    return path


def test_the_shipped_settings_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITORING_SOURCES", raising=False)
    monkeypatch.setenv("MONITORING_ACCESS_LOG", "/srv/gateway/*.log")
    settings = load_settings()
    assert settings == load_settings(DEFAULT_PATH)
    assert settings.request_logs.lateness == timedelta(minutes=10)
    assert list(settings.request_logs.sources[0].paths) == ["/srv/gateway/*.log"]
    assert settings.section("request_logs") is settings.request_logs
    assert settings.section("something_else") is None


def test_an_empty_file_means_every_default(file: Path) -> None:
    file.write_text("")
    assert load_settings().gateway_exceptions.spools == []


def test_values_take_variables_of_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOOLS", "/srv")
    monkeypatch.setenv("EMPTY", "")
    file.write_text(
        "gateway_exceptions:\n"
        '  spools: ["${SPOOLS}/a", "${NOT_SET:-/b}/x", "${EMPTY:-/c}", "${NOT_SET:-}d", "$e"]\n'
    )
    assert load_settings().gateway_exceptions.spools == ["/srv/a", "/b/x", "/c", "d", "$e"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gateway_exceptions:\n  spools: ['${NOT_SET}']\n", "2: gateway_exceptions.spools[0]: the"),
        ("gateway_exceptions:\n  spool: []\n", "2: gateway_exceptions.spool: Extra inputs"),
        ("\nrequest_logs:\n  lateness: 10\n", "3: request_logs.lateness: 10 is not a duration"),
        ("- 1\n", "1: (file): Input should be a valid dictionary"),
        ("gateway_exceptions: [\n", "2: "),
        ("a: 1\na: 2\n", "2: the key 'a' is given twice"),
    ],
)
def test_errors_name_file_line_and_field(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{file}:{told}")


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\.yaml: can't be read"):
        load_settings()
