"""A Prometheus of the tests' own: scratch folder, free port on 127.0.0.1."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers.upstream import free_port

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class PrometheusServer:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression. Raises HTTPError for one that is none."""
        found = self._get("/api/v1/query", query=expression)
        if found["resultType"] == "scalar":
            return [{"metric": {}, "value": found["result"]}]
        result: list[dict[str, Any]] = found["result"]
        return result

    def _get(self, path: str, **query: str) -> Any:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with _OPENER.open(address, timeout=30) as answer:
            return json.load(answer)["data"]


@contextmanager
def run_prometheus(configuration: Mapping[str, Any]) -> Iterator[PrometheusServer]:
    """Start Prometheus with that configuration, and end it."""
    program = shutil.which("prometheus")
    if program is None:
        raise RuntimeError("prometheus is not installed: apt-get install prometheus")
    folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(configuration)))
    port = free_port()
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, folder)
        yield PrometheusServer(url)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            _OPENER.open(f"{url}/-/ready", timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "Prometheus did not start:\n" + (folder / "out").read_text(errors="replace")
                ) from None
            time.sleep(0.05)
