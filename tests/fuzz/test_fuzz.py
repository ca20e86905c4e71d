"""Whatever others send, nothing crashes: a little of it here, much of it by night."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS

_ROOT = Path(__file__).resolve().parents[2]
_MOST = 20_000
#: Runs of a night, by how many lines an input has: of log lines, each run has many.
_RUNS = {True: 400, False: 20_000}


@pytest.mark.parametrize("name", TARGETS)
def test_input_that_is_nearly_good_is_taken_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    target = TARGETS[name]
    check = target.open()
    for data in target.seeds:
        check(data)
    for seed in range(1 if target.lines > 1 else 40):
        data = mutate(target, b"", seed, _MOST)
        try:
            check(data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def _fuzz(name: str, runs: int, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(runs)],
        env={"PYTHONPATH": str(_ROOT), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,  # where libFuzzer leaves input that fails
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert f"Done {runs} in" in result.stdout, result.stdout[-5000:]


@pytest.mark.fuzz
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    _fuzz("engine_events", 300, tmp_path)


@pytest.mark.fuzz
@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    _fuzz(name, _RUNS[TARGETS[name].lines > 1], tmp_path)
