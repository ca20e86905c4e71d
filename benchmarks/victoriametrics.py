"""VictoriaMetrics and vmalert (Debian: victoria-metrics): a server of the benchmark's own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import requests


class ServerError(RuntimeError):
    """VictoriaMetrics is missing, did not start, or refused a request."""


@dataclass(frozen=True)
class VictoriaMetrics:
    """A running server. ``folder`` holds its data and log."""

    url: str
    folder: Path

    def load(self, parts: Iterable[bytes]) -> None:
        """Store series, given as lines of JSON in the format of /api/v1/import."""
        for part in parts:
            self._post("/api/v1/import", data=part)
        self.flush()

    def flush(self) -> None:
        """Make everything that was written visible to queries."""
        self._get("/internal/force_flush")

    def forget_replay(self) -> None:
        """Delete what vmalert wrote, and drop the cache of queries' results."""
        self._post("/api/v1/admin/tsdb/delete_series", params={"match[]": '{__name__=~"ALERTS.*"}'})
        self._get("/internal/resetRollupResultCache")

    def firing(self) -> Iterator[tuple[dict[str, str], list[int]]]:
        """Labels of each alert that fired, and the times in ms at which it was seen firing."""
        self.flush()
        text = self._get("/api/v1/export", params={"match[]": 'ALERTS{alertstate="firing"}'})
        for line in text.splitlines():
            series = json.loads(line)
            yield series["metric"], series["timestamps"]

    def replay_command(self, rules: Path, start: datetime, end: datetime) -> list[str]:
        """vmalert's replay of the evaluations in [start, end], which must be on its grid."""
        return [
            program("vmalert"),
            f"-rule={rules}",
            f"-datasource.url={self.url}",
            f"-remoteWrite.url={self.url}",
            f"-replay.timeFrom={start:%Y-%m-%dT%H:%M:%SZ}",
            f"-replay.timeTo={end:%Y-%m-%dT%H:%M:%SZ}",
            "-replay.rulesDelay=0",
            # one query a rule: it keeps no state from one to the next
            "-replay.maxDatapointsPerQuery=1000000",
            "-replay.disableProgressBar",
            "-remoteWrite.maxQueueSize=10000000",
            "-httpListenAddr=127.0.0.1:0",
        ]

    def _get(self, path: str, **options: object) -> str:
        return _checked(requests.get(self.url + path, timeout=600, **options))  # type: ignore[arg-type]

    def _post(self, path: str, **options: object) -> str:
        return _checked(requests.post(self.url + path, timeout=600, **options))  # type: ignore[arg-type]


def _checked(answer: requests.Response) -> str:
    if not answer.ok:
        raise ServerError(f"VictoriaMetrics answered {answer.status_code}: {answer.text[:500]}")
    return answer.text


def program(name: str) -> str:
    """Path of a program of the package. Raises ServerError where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise ServerError(f"{name} is not installed: apt-get install victoria-metrics")
    return found


@contextmanager
def run_victoriametrics() -> Iterator[VictoriaMetrics]:
    """Start an empty server on a free port of 127.0.0.1, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="victoriametrics-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("victoria-metrics"),
                f"-storageDataPath={folder / 'data'}",
                f"-httpListenAddr={address}",
                "-retentionPeriod=100y",
                "-search.maxPointsPerTimeseries=1000000",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "TZ": "UTC"},
        )
        server = VictoriaMetrics(f"http://{address}", folder)
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _wait(server: VictoriaMetrics, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server._get("/health")
            return
        except requests.ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                text = (server.folder / "log").read_text(errors="replace")[-3000:]
                raise ServerError(f"VictoriaMetrics did not start:\n{text}") from None
            time.sleep(0.05)
