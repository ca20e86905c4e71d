"""The deployment whose steps tests/deployment/test_compose.py is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.images import BASE, build_images
from tests.deployment.project import NAME, PROFILES, Project, make_project
from tests.servers.docker import run_engine

#: A web hook's receiver: it prints each body as a line.
_HOOK = """
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", 9000), Hook).serve_forever()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The deployment with the profile demo, Prometheus, two workers and a web hook; started."""
    scratch = tmp_path_factory.mktemp("deployment")
    kept = os.environ.get("MONITORING_TEST_IMAGES")
    data = Path(kept) if kept else scratch / "engine"
    data.mkdir(exist_ok=True)
    with run_engine(data, isolated=False) as builder:
        build_images(builder, scratch)
    folder = scratch / "project"
    folder.mkdir()
    with run_engine(data) as engine:
        rotation = {"ACCESS_LOG_MAX_MB": "1", "ACCESS_LOG_CHECK_SECONDS": "1"}
        made = make_project(engine, folder, WORKERS="2", **rotation)
        hook = made.folder / "secrets" / "webhook_url"
        hook.unlink()
        hook.write_text("http://hook:9000/\n")
        hook.chmod(0o444)
        try:
            made.compose("--profile", "demo", "up", "-d", timeout_s=1200)
            # there is no Grafana; and all that this depends on is up, so `init` needn't run again
            made.compose("up", "-d", "--no-deps", "prometheus")
            engine.docker(
                *("run", "--detach", "--name", "hook", "--network", f"{NAME}_monitoring"),
                *("--network-alias", "hook", BASE, "python", "-u", "-c", _HOOK),
            )
            yield made
        except RuntimeError as error:
            raise AssertionError(f"{error}\n{made.states()}\n{made.logs()}") from None
        finally:
            if engine.docker("ps", "--all", "--quiet", "--filter", "name=hook"):
                engine.docker("rm", "--force", "hook")
            made.compose(*PROFILES, "down", "--volumes", check=False)
