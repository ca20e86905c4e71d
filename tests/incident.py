"""Small incidents on real files: a gateway's log, policies, settings.

From minute 10 to 19 after an incident's start, half of the requests time out. The policy
``timeouts`` looks back two minutes and wants two minutes of breach, so that, in event time and
whatever the order of runs, its alert is pending at 11, firing at 13 and resolved at 22 minutes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MINUTE = timedelta(minutes=1)

FIRST_BAD_MINUTE, LAST_BAD_MINUTE = 10, 19
#: (minutes after the base, state that the alert goes to)
EXPECTED = ((11, "pending"), (13, "firing"), (22, "resolved"))

_POLICIES = """
policies:
  - name: timeouts
    kind: threshold
    signal: requests.timeout_ratio
    by: [source]
    window: 2m
    condition: "> 0.05"
    for: 2m
    severity: critical
    annotations: {summary: "{{ source }}: {{ value | percent }} of requests time out"}
"""


def whole_hours_ago(hours: int) -> datetime:
    """A whole hour of the clock, at least ``hours`` ago."""
    now = datetime.now(UTC)
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)


@dataclass(frozen=True)
class Incident:
    """Files below ``folder``; ``base`` is the first minute of the log.

    ``starts`` are the starts of incidents, in minutes after the base.
    """

    folder: Path
    base: datetime
    starts: tuple[int, ...] = (0,)

    @property
    def log(self) -> Path:
        return self.folder / "access.log"

    def at(self, minutes: int) -> datetime:
        return self.base + minutes * MINUTE

    def expected(self, start: int = 0) -> list[tuple[datetime, str]]:
        """The transitions of the alert of one incident: event time, new state."""
        return [(self.at(start + minutes), state) for minutes, state in EXPECTED]

    def window(self, first: int, stop: int) -> dict[str, str]:
        """The params of a run for the minutes [first, stop) after the base."""
        return {
            "window_start": self.at(first).isoformat(),
            "window_end": self.at(stop).isoformat(),
        }

    def environment(self, userdb_url: str) -> dict[str, str]:
        """What the chain needs to know, in its environment."""
        return {
            "USERDB_URL": userdb_url,
            "MONITORING_HOME": str(self.folder),
            "MONITORING_SOURCES": str(self.folder / "sources.yaml"),
            "MONITORING_POLICIES": str(self.folder / "policies"),
            "MONITORING_SPOOL": str(self.folder / "spool"),
        }

    def write(self, minutes: int = 60, per_minute: int = 20) -> None:
        """Write settings, policies and ``minutes`` minutes of log."""
        (self.folder / "policies").mkdir(parents=True, exist_ok=True)
        (self.folder / "spool").mkdir(exist_ok=True)
        (self.folder / "policies" / "incident.yaml").write_text(_POLICIES)
        self.write_sources([str(self.log)])
        lines = [
            self._line(minute, request * 60 // per_minute, timed_out=request % 2 == 0)
            for minute in range(minutes)
            for request in range(per_minute)
        ]
        self.log.write_text("".join(lines))

    def write_sources(self, paths: list[str]) -> None:
        """Write the settings: the log at ``paths``, and no container runtime."""
        sources = {
            "gateway_exceptions": {"spools": [str(self.folder / "spool")]},
            "request_logs": {
                "sources": [{"name": "gateway", "paths": paths, "format": "nginx_combined"}]
            },
            "container_stats": {"hosts": []},
        }
        # JSON is YAML
        (self.folder / "sources.yaml").write_text(json.dumps(sources, indent=2))

    def _line(self, minute: int, second: int, *, timed_out: bool) -> str:
        bad = timed_out and any(
            start + FIRST_BAD_MINUTE <= minute <= start + LAST_BAD_MINUTE for start in self.starts
        )
        at = (self.at(minute) + timedelta(seconds=second)).strftime("%d/%b/%Y:%H:%M:%S +0000")
        status = 504 if bad else 200
        return f'10.0.0.7 - - [{at}] "GET /simulations/7 HTTP/1.1" {status} 512 "-" "test"\n'
