"""One process with Airflow for the tests of DAGs; pytest's own never imports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunResult:
    """What ``dag.test()`` left behind; ``xcoms`` by ``task_id/key``, mapped ones by
    ``task_id[0]/key``."""

    state: str
    run_id: str
    tasks: dict[str, str]
    xcoms: dict[str, Any]


class DagProcess:
    """The process, and what it can be asked."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def describe(self, **environment: str) -> dict[str, Any]:
        """Import errors, and every DAG as Airflow parsed it."""
        answer: dict[str, Any] = self._ask("bag", {}, environment)
        return answer

    def run(
        self,
        dag_id: str,
        *,
        environment: Mapping[str, str],
        conf: Mapping[str, Any] | None = None,
        logical_date: str | None = None,
    ) -> RunResult:
        """Run a whole DAG with ``dag.test()``."""
        arguments = {"dag_id": dag_id, "conf": dict(conf or {}), "logical_date": logical_date}
        return RunResult(**self._ask("run", arguments, environment))

    def fail_a_try(self, **arguments: Any) -> dict[str, Any]:
        """What a failing task's body raises and leaves: see ``dag_process.fail_a_try``."""
        answer: dict[str, Any] = self._ask("fail", arguments, {})
        return answer

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _ask(self, command: str, arguments: dict[str, Any], environment: Mapping[str, str]) -> Any:
        stdin, stdout = self._pipes()
        request = {"command": command, "arguments": arguments, "env": dict(environment)}
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the process with Airflow ended:\n{self.log()[-4000:]}")
        return json.loads(answer)

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def airflow_environment(home: Path) -> dict[str, str]:
    """An environment for an Airflow of the tests' own: scratch home, the checkout's DAGs."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "MONITORING_", "USERDB_", "PYTEST_"))
    }
    return {
        **own,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagProcess]:
    """The process that has Airflow imported. Needs the marker ``airflow`` on the test."""
    home = tmp_path_factory.mktemp("airflow")
    log = home / "dag_process.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("dag_process.py"))],
            env=airflow_environment(home),
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as process,
    ):
        yield DagProcess(process, log)
        assert process.stdin is not None
        process.stdin.close()  # ends it
