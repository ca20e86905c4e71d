"""Airflow's REST API as urgent runs use it; a real Airflow is in tests/e2e."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from monitoring.intake.airflow_runs import AirflowError, RestRuns, Run

from userdb.errors import ConfigError

AT = datetime(2026, 3, 1, 10, 4, tzinfo=UTC)


@dataclass
class Airflow:
    """Answers as scripted: a list of (status, body), the last one again and again."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    logins: list[Any] = field(default_factory=list)
    asked: list[tuple[str, str, Any, str]] = field(default_factory=list)


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    taken = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/auth/token":
                taken.logins.append(body)
                known = body["password"] == "pa55"
                self.answer(201 if known else 401, {"access_token": f"t{len(taken.logins)}"})
            else:
                self.answer_scripted(body)

        def do_GET(self) -> None:
            self.answer_scripted(None)

        def answer_scripted(self, body: Any) -> None:
            token = self.headers["Authorization"]
            taken.asked.append((self.command, self.path, body, token))
            self.answer(*(taken.answers.pop(0) if len(taken.answers) > 1 else taken.answers[0]))

        def answer(self, status: int, body: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield taken
    server.shutdown()
    server.server_close()


def test_the_newest_run_is_asked_for_and_one_is_triggered(airflow: Airflow) -> None:
    runs = RestRuns(airflow.url, "u", "pa55")
    airflow.answers = [
        (200, {"dag_runs": []}),
        (200, {"dag_runs": [{"dag_run_id": "urgent__7", "state": "queued"}]}),
        (200, {"dag_runs": [{"dag_run_id": "urgent__7", "state": "failed"}]}),
        (200, {}),
        (409, {"detail": "exists"}),
    ]
    assert runs.newest("urgent__") is None
    assert runs.newest("urgent__") == Run("urgent__7", active=True)
    assert runs.newest("urgent__") == Run("urgent__7", active=False)
    conf = {"window_start": "a", "window_end": "b"}
    assert runs.trigger("urgent__8", conf, AT) is True
    assert runs.trigger("urgent__8", conf, AT) is False
    method, path, body, token = airflow.asked[-1]
    assert (method, path, token) == ("POST", "/api/v2/dags/monitoring_chain/dagRuns", "Bearer t1")
    assert body == {
        "dag_run_id": "urgent__8",
        "logical_date": None,
        "run_after": "2026-03-01T10:04:00+00:00",
        "conf": conf,
    }
    assert "run_id_prefix_pattern=urgent__" in airflow.asked[0][1]
    assert len(airflow.logins) == 1


def test_a_token_that_has_expired_is_renewed(airflow: Airflow) -> None:
    runs = RestRuns(airflow.url, "u", "pa55")
    airflow.answers = [(200, {"dag_runs": []}), (401, {}), (200, {"dag_runs": []})]
    runs.newest("x")
    assert runs.newest("x") is None
    assert [token for *_, token in airflow.asked] == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(("password", "status"), [("wr0ng", 200), ("pa55", 403), ("pa55", 401)])
def test_a_refusal_is_told_without_the_password(
    airflow: Airflow, password: str, status: int
) -> None:
    airflow.answers = [(status, {"detail": "Forbidden"})]
    with pytest.raises(AirflowError) as caught:
        RestRuns(airflow.url, "u", password).newest("x")
    assert airflow.url in str(caught.value)
    assert password not in str(caught.value)


def test_an_airflow_that_is_not_there_is_told() -> None:
    with pytest.raises(AirflowError, match=r"127\.0\.0\.1:1 can't be reached"):
        RestRuns("http://127.0.0.1:1", "u", "p").newest("x")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"URL": "http://air:8080", "USERNAME": "u", "PASSWORD": "p"}, "http://air:8080"),
        ({"URL": "https://u:p%40@air/base/"}, "https://air/base"),
        ({"URL": "air:8080", "USERNAME": "u"}, ConfigError),
        ({"URL": "http://air:8080"}, ConfigError),
    ],
)
def test_the_settings(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Any
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"MONITORING_AIRFLOW_{name}", value)
    if expected is ConfigError:
        with pytest.raises(ConfigError, match="MONITORING_AIRFLOW_URL"):
            RestRuns.from_environment()
        return
    found = RestRuns.from_environment()
    assert (None if found is None else found.url) == expected
