"""An Alertmanager of the tests' own: scratch folder, free port on 127.0.0.1, no cluster."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers.web_program import run_web_program

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
    with run_web_program(
        "prometheus-alertmanager",
        _CONFIGURATION.format(hook=hook),
        "--storage.path",
        ["--cluster.listen-address="],
    ) as url:
        yield AlertmanagerServer(url)
