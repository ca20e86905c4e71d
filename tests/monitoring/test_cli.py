"""The command line, as a program: its output, its exit codes, and errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from monitoring.cli import main

from tests.monitoring.facts import T0, cover, put_requests
from userdb.store import open_store
from userdb.times import from_minute

POLICY = """
policies:
  - name: timeouts
    kind: threshold
    signal: requests.timeouts
    by: [service]
    window: 2m
    condition: "> 5"
    for: 2m
    annotations: {summary: "{{ service }}: {{ value | number }} timeouts"}
"""


class Shell:
    """Runs ``monitoring`` in this process, with an environment of its own."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ):
        self.folder, self.patch, self.capture = folder, patch, capture
        patch.setenv("MONITORING_POLICIES", str(folder / "policies"))
        (folder / "policies").mkdir()
        (folder / "policies" / "p.yaml").write_text(POLICY)

    def __call__(self, *arguments: str, fails: bool = False, **env: str) -> str:
        with self.patch.context() as patch:
            patch.setattr(sys, "argv", ["monitoring", *arguments])
            for name, value in env.items():
                patch.setenv(name, value)
            self.capture.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        shown = self.capture.readouterr()
        assert bool(ended.value.code) is fails, shown.out + shown.err
        return shown.err if fails else shown.out


@pytest.fixture
def monitoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


def test_the_command_is_installed_and_tells_an_error_without_a_traceback(tmp_path):
    done = subprocess.run(
        [str(Path(sys.executable).parent / "monitoring"), "db", "current"],
        env={**os.environ, "USERDB_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "error: USERDB_URL is not a database URL" in done.stderr
    assert "Traceback" not in done.stderr


def at(minutes: int) -> str:
    return from_minute(T0 + minutes).isoformat().replace("+00:00", "Z")


def test_an_incident_seen_from_the_command_line(monitoring: Shell):
    assert "no schema" in monitoring("db", "current")
    assert "error: " in monitoring("status", fails=True)
    url = monitoring("db", "upgrade")
    assert "userdb.sqlite" in url
    assert "embedded default" in url
    store = open_store(f"sqlite:///{monitoring.folder / 'var' / 'userdb.sqlite'}")
    put_requests(store, {T0 + m: {"requests": 10, "timeout": 9 * (4 <= m < 8)} for m in range(20)})
    cover(store, T0 - 30, T0 + 20)
    store.close()

    shown = monitoring("analyse", "--from", at(0), "--to", at(20))
    assert "1 pending, 1 fired, 1 resolved" in shown
    (alert,) = json.loads(monitoring("alerts", "list", "--format", "json"))
    assert alert["state"] == "resolved"
    assert alert["fired_at"] == at(7)
    assert alert["annotations"]["summary"] == "sim: 18 timeouts"
    for options, number in (
        (("--as-of", at(0)), 0),
        (("--as-of", "2999-01-01T00:00:00Z"), 1),
        (("--matcher", "service=sim", "--matcher", "alertname=timeouts"), 1),
        (("--matcher", "service!=sim"), 0),
        (("--unacknowledged",), 1),
        (("--acknowledged",), 0),
    ):
        rows = json.loads(monitoring("alerts", "list", "--format", "json", *options))
        assert len(rows) == number, options
    table = monitoring("alerts", "list")
    assert alert["id"] in table
    assert "service=sim" in table
    assert "sim: 18 timeouts" in monitoring("alerts", "show", alert["id"])
    history = json.loads(monitoring("alerts", "history", "--format", "json"))
    assert [row["to_state"] for row in history] == ["pending", "firing", "resolved"]
    before = json.loads(monitoring("alerts", "history", "--as-of", at(0), "--format", "json"))
    assert before == []
    exported = json.loads(monitoring("alerts", "export"))
    assert [row["at"] for row in exported["transitions"]] == [at(5), at(7), at(10)]
    state = json.loads(monitoring("status", "--format", "json"))
    assert [row["policy"] for row in state["policies"]] == ["timeouts"]
    assert "timeouts" in monitoring("status")


def test_analysing_twice_exports_the_same_text(monitoring: Shell):
    monitoring("db", "upgrade")
    store = open_store(f"sqlite:///{monitoring.folder / 'var' / 'userdb.sqlite'}")
    put_requests(store, {T0 + m: {"requests": 10, "timeout": 9 * (4 <= m < 8)} for m in range(20)})
    cover(store, T0 - 30, T0 + 20)
    store.close()
    monitoring("analyse", "--from", at(0), "--to", at(20))
    once = monitoring("alerts", "export")
    monitoring("analyse", "--from", at(10), "--to", at(20))
    monitoring("analyse", "--from", at(0), "--to", at(12))
    assert monitoring("alerts", "export") == once


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (["db", "current"], {"USERDB_URL": "nonsense"}, "USERDB_URL is not a database URL"),
        (["db", "current"], {"USERDB_URL": "postgresql://h/d"}, "userdb is MySQL"),
        (
            ["db", "upgrade"],
            {"USERDB_URL": "mysql+pymysql://u:secret@127.0.0.1:1/userdb"},
            "can't be reached",
        ),
        (["alerts", "show", "nothing"], {}, "no alert nothing"),
        (["alerts", "list", "--from", "yesterday"], {}, "2026-01-31T10:00:00Z"),
        (["alerts", "list", "--matcher", "service"], {}, "is not a matcher"),
        (["analyse", "--from", "2026-01-01T00:00", "--to", at(0)], {}, "has no time zone"),
        (["analyse", "--from", at(5), "--to", at(0)], {}, "is empty"),
        (["analyse", "--from", at(0), "--to", "2999-01-01T00:00:00Z"], {}, "ends after now"),
        (["policy", "check", "/nowhere"], {}, "no such file or folder of policies"),
    ],
)
def test_bad_input_is_one_clear_line(monitoring: Shell, arguments, env, says):
    monitoring("db", "upgrade")
    error = monitoring(*arguments, fails=True, **env)
    assert says in error.replace("\n", " ")
    assert "secret" not in error


def test_policy_check_names_file_line_and_field(monitoring: Shell):
    assert "1 policies are valid, 0 errors" in monitoring("policy", "check")
    (monitoring.folder / "policies" / "bad.yaml").write_text(
        POLICY.replace("requests.timeouts", "requests.nothing")
        + "  - {name: other, signal: requests.count, by: [planet], condition: '> 1'}\n"
    )
    error = monitoring("policy", "check", fails=True)
    assert "bad.yaml:5: policies[0].signal: unknown signal 'requests.nothing'" in error
    assert "bad.yaml:11: policies[1]: by names the label 'planet'" in error


def test_signals_lists_the_catalogue(monitoring: Shell):
    shown = monitoring("signals")
    assert "requests.timeout_ratio" in shown
    assert "containers.cpu_percent" in shown
