"""An Alertmanager of the tests' own: scratch folder, free port on 127.0.0.1, no cluster."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONFIGURATION = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 200ms
  group_interval: 500ms
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - {{url: "{hook}", send_resolved: true}}
"""


@dataclass(frozen=True)
class AlertmanagerServer:
    """A running Alertmanager, which tells one web hook."""

    url: str

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds that has not ended."""
        found: list[dict[str, Any]] = self._call("GET", "/api/v2/alerts")
        return found

    def groups(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "/api/v2/alerts/groups")
        return found

    def silence(self, name: str, value: str, *, start: str, end: str) -> str:
        """Silence alerts with this label; returns the silence's id."""
        matcher = {"name": name, "value": value, "isRegex": False, "isEqual": True}
        made = self._call(
            "POST",
            "/api/v2/silences",
            {
                "matchers": [matcher],
                "startsAt": start,
                "endsAt": end,
                "createdBy": "test",
                "comment": "test",
            },
        )
        return str(made["silenceID"])

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@contextmanager
def run_alertmanager(hook: str) -> Iterator[AlertmanagerServer]:
    """Start one that tells ``hook``, a URL, and end it."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        raise RuntimeError("Alertmanager is not installed: apt-get install prometheus-alertmanager")
    folder = Path(tempfile.mkdtemp(prefix="alertmanager-"))
    (folder / "alertmanager.yml").write_text(_CONFIGURATION.format(hook=hook))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, folder)
        yield AlertmanagerServer(url)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "Alertmanager did not start:\n" + (folder / "out").read_text(errors="replace")
                ) from None
            time.sleep(0.05)
