"""``monitoring backtest`` as a program: JSON to the letter, tables, and errors that name a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from monitoring.cli import app, main
from typer.testing import CliRunner

from tests.monitoring.backtest.files import at, gap, sample, samples, write_policies, write_series


def arguments(folder: Path, policies, lines, begin: str = at(0), end: str = at(6), *more: str):
    return [
        "backtest",
        "--policy",
        str(write_policies(folder, *policies)),
        "--series",
        str(write_series(folder, lines)),
        "--from",
        begin,
        "--to",
        end,
        *more,
    ]


def test_the_command_needs_no_database_and_prints_json_to_the_letter(tmp_path):
    lines = [*samples([1, *[6] * 6], queue="a"), *samples([1] * 7, queue="b")]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "monitoring"),
            *arguments(tmp_path, [{"for": "5m", "labels": {"team": "x"}}], lines),
            "--format",
            "json",
        ],
        env={**os.environ, "USERDB_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    series = {"policy": "p", "labels": {"queue": "a"}}
    assert json.loads(done.stdout) == {
        "states": [
            {**series, "states": ".PPPPPF"},
            {"policy": "p", "labels": {"queue": "b"}, "states": "......."},
        ],
        "transitions": [
            {
                **series,
                "at": "2026-03-02T10:01:00Z",
                "from": "inactive",
                "to": "pending",
                "value": 6.0,
            },
            {
                **series,
                "at": "2026-03-02T10:06:00Z",
                "from": "pending",
                "to": "firing",
                "value": 6.0,
            },
        ],
        "episodes": [
            {
                **series,
                "active_at": "2026-03-02T10:01:00Z",
                "fired_at": "2026-03-02T10:06:00Z",
                "resolved_at": None,
            }
        ],
    }


def shown(given: list[str]) -> str:
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_and_rounded_bounds(tmp_path):
    text = shown(
        arguments(
            tmp_path,
            [{}],
            samples([6] * 20),
            at(0, 30),
            at(10, 30),
            "--every",
            "5m",
            "--format",
            "json",
        )
    )
    found = json.loads(text)
    assert found["states"][0]["states"] == "FFF"
    assert found["transitions"][0]["at"] == at(1)


def test_the_table_shows_states_and_episodes_and_shortens_long_lines(tmp_path):
    lines = samples([1, *[6] * 6], queue="[a]")
    text = shown(arguments(tmp_path, [{"for": "5m"}], lines))
    assert "queue=[a]" in text
    assert ".PPPPPF" in text
    assert at(6) in text
    text = shown(arguments(tmp_path, [{}], samples([6] * 3, begin=100), at(0), at(200)))
    assert ".×100 F×101" in text


def refused(monkeypatch, capsys, given: list[str], code: int = 1) -> str:
    monkeypatch.setattr(sys, "argv", ["monitoring", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    told = capsys.readouterr()
    assert not told.out
    return told.err


GOOD = json.dumps(sample(1, at(0)))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ("[1]", "one JSON object"),
        ('"text"', "one JSON object"),
        (json.dumps({**sample(1, at(0)), "value": True}), "value: must be a number"),
        (json.dumps({**sample(1, at(0)), "value": "1"}), "value: must be a number"),
        (json.dumps({**sample(1, at(0)), "value": None}), "value: must be a number"),
        (json.dumps({**sample(1, at(0)), "value": float("nan")}), "value: must be a finite"),
        (json.dumps({**sample(1, at(0)), "value": float("inf")}), "value: must be a finite"),
        (json.dumps({**sample(1, at(0)), "value": 10**400}), "value: must be a finite"),
        (GOOD.replace('"value": 1', '"value": 1e999'), "value: must be a finite"),
        (GOOD.replace('"value": 1', '"value": ' + "9" * 5000), "value: must be a finite"),
        (json.dumps(sample(1, "yesterday")), "time: time 'yesterday' is not a time"),
        (json.dumps(sample(1, "2026-03-02T10:00:00")), "has no time zone"),
        (json.dumps(sample(1, "9999-12-31T23:59:59Z")), "outside of the calendar"),
        (json.dumps({**sample(1, at(0)), "time": 5}), "time: must be text"),
        ('{"signal": "s", "labels": {}, "value": 1}', "time: is missing"),
        (json.dumps({"labels": {}, "time": at(0), "value": 1}), "signal: must be the name"),
        (json.dumps({**sample(1, at(0)), "labels": {"a": 1}}), "labels.a: must be text"),
        (json.dumps({**sample(1, at(0)), "labels": []}), "labels: must be an object"),
        (json.dumps({**sample(1, at(0)), "lables": {}}), "lables: is not a known field"),
        (json.dumps({**gap(at(0), at(1)), "signal": "s"}), "signal: is not a known field"),
        ('{"gap": 5}', "gap: must be an object"),
        (json.dumps({"gap": {"signal": "s", "from": at(0)}}), "gap.to: is missing"),
        (json.dumps(gap(at(1), at(0))), "gap.to: lies before gap.from"),
        (json.dumps(gap("soon", at(0))), "gap.from: time 'soon'"),
        ('{"signal": "s", "signal": "t"}', "signal: is given twice"),
        ("[" * 200_000, "is not JSON"),
    ],
)
def test_a_broken_line_is_told_with_file_line_and_field(tmp_path, monkeypatch, capsys, line, says):
    given = arguments(tmp_path, [{}], [])
    (tmp_path / "series.jsonl").write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    told = refused(monkeypatch, capsys, given)
    assert "series.jsonl:3: " in told
    assert says in told
    assert len(told.splitlines()) == 1
    assert "Traceback" not in told


def test_a_file_of_nonsense_is_told_in_few_lines(tmp_path, monkeypatch, capsys):
    given = arguments(tmp_path, [{}], [])
    (tmp_path / "series.jsonl").write_text("nonsense\n" * 1000)
    told = refused(monkeypatch, capsys, given)
    assert len(told.splitlines()) == 21
    (tmp_path / "series.jsonl").write_bytes(b"\xff\xfe\n")
    assert "is not UTF-8 text" in refused(monkeypatch, capsys, given)
    (tmp_path / "series.jsonl").unlink()
    assert "series.jsonl: can't be read" in refused(monkeypatch, capsys, given)


def test_a_broken_policy_is_told_with_file_line_and_field(tmp_path, monkeypatch, capsys):
    lines = samples([1], queue="a")
    given = arguments(tmp_path, [{"name": "good"}, {"condition": "many"}], lines)
    assert ": policies[1].condition: 'many' is not a condition" in refused(
        monkeypatch, capsys, given
    )
    given = arguments(tmp_path, [{"by": ["host"]}], lines)
    assert "by names the label 'host', which s does not have; it has queue" in refused(
        monkeypatch, capsys, given
    )


def test_bad_options_are_told(tmp_path, monkeypatch, capsys):
    def told(begin, end, *more, code=1):
        given = arguments(tmp_path, [{}], [], begin, end, *more)
        return refused(monkeypatch, capsys, given, code)

    assert "--from 'now' is not a time" in told("now", at(1))
    assert "has no time zone" in told("2026-03-02T10:00:00", at(1))
    assert "lies before --from" in told(at(1), at(0))
    assert "30s" in told(at(0), at(1), "--every", "often, say 30s", code=2)
    assert "at least 1m" in told(at(0), at(1), "--every", "30s", code=2)
    assert "is not a format" in told(at(0), at(1), "--format", "xml", code=2)
