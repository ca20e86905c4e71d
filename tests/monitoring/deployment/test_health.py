"""The image's health check finds the component by its command line and asks it."""

from __future__ import annotations

import http.server
import threading
import urllib.error
from collections.abc import Iterator

import pytest
from monitoring.deployment.health import answers, check_for


@pytest.mark.parametrize(
    "command",
    [
        "tini -- airflow api-server",
        "tini -- airflow scheduler --skip-serve-logs",
        "tini -- airflow dag-processor",
        "tini -- airflow triggerer",
        "tini -- airflow celery worker --skip-serve-logs",
        "/usr/bin/tini -- /opt/monitoring/bin/monitoring serve --host 0.0.0.0",
    ],
)
def test_what_runs_on_is_checked(command: str) -> None:
    assert check_for(command.split()) is not None


@pytest.mark.parametrize(
    "command", ["tini -- initialise", "tini -- airflow db migrate", "tini -- airflow", "sh"]
)
def test_what_ends_is_not_checked(command: str) -> None:
    assert check_for(command.split()) is None


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_is_not_ready_is_not_healthy(url: str) -> None:
    answers(f"{url}/ready")
    with pytest.raises(urllib.error.HTTPError):
        answers(f"{url}/broken")
