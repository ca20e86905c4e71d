"""Parsing a DAG file costs next to nothing beyond Airflow: the dag processor does it all day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dags.conftest import ROOT, airflow_environment

pytestmark = pytest.mark.airflow

_SCRIPT = """
import importlib.util, json, sys
import airflow.sdk
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, TaskGroup, TriggerRule, task
task(lambda: None)
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps(sorted(set(sys.modules) - before)))
"""
_HEAVY = {"pandas", "numpy", "sqlalchemy", "docker", "duckdb", "pyarrow", "connectorx", "pydantic"}


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "dags").glob("*.py")))
def test_dag_file_imports_nothing_heavy_and_of_ours_the_layout_alone(
    file: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(ROOT / "dags" / file)],
        env=airflow_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = json.loads(done.stdout.splitlines()[-1])
    tops = {module.partition(".")[0] for module in imported}
    assert tops & _HEAVY == set()
    # the one module that is made for it, and what it needs
    ours = {m for m in imported if m.partition(".")[0] in ("monitoring", "include", "userdb")}
    assert ours <= {"monitoring", "monitoring.dag_layout", "monitoring.variables"}
    assert len(imported) < 50, imported


def test_steps_that_score_nothing_do_without_pandas(tmp_path: Path) -> None:
    """Each task is a process of its own, and pandas costs it most of a second."""
    script = "import sys, monitoring.chain; print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
