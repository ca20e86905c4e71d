"""A Prometheus of the tests' own: scratch folder, free port on 127.0.0.1."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from tests.servers.web_program import OPENER, run_web_program


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
        with OPENER.open(address, timeout=30) as answer:
            return json.load(answer)["data"]


@contextmanager
def run_prometheus(configuration: Mapping[str, Any]) -> Iterator[PrometheusServer]:
    """Start Prometheus with that configuration, and end it."""
    text = yaml.safe_dump(dict(configuration))
    with run_web_program("prometheus", text, "--storage.tsdb.path") as url:
        yield PrometheusServer(url)
