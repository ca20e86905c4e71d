"""Twenty threshold policies, once as ours and once as vmalert's rules of the same meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

#: Minutes between evaluations.
INTERVAL = 5


@dataclass(frozen=True)
class Rule:
    """A policy. ``signal`` is a column of request_minute, or numerator and denominator; windows
    and times in minutes. A rule that is kept firing has no ``for_``: see ``expression``."""

    name: str
    signal: tuple[str, ...]
    window: int
    condition: str
    for_: int = 0
    keep: int = 0
    min_samples: int = 1
    by: tuple[str, ...] = ("service", "route")

    def policy(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "name": self.name,
            "kind": "threshold",
            "signal": _SIGNALS[self.signal],
            "by": list(self.by),
            "window": f"{self.window}m",
            "condition": self.condition,
            "for": f"{self.for_}m",
            "keep_firing_for": f"{self.keep}m",
            "evaluation_interval": f"{INTERVAL}m",
            # as Prometheus: where the expression has no result there is no alert
            "no_data": "ok",
        }
        return fields | ({"min_samples": self.min_samples} if len(self.signal) > 1 else {})

    def expression(self) -> str:
        """MetricsQL. vmalert's replay knows no keep_firing_for: a subquery says that the
        condition held at this evaluation or at one in the kept time before it."""
        sums = [self._sum(column) for column in self.signal]
        held = f"{' / '.join(sums)} {self.condition}"
        if len(sums) > 1:
            held = f"({held}) and ({sums[1]} >= {self.min_samples})"
        if self.keep:
            held = f"last_over_time(({held})[{self.keep + INTERVAL}m:{INTERVAL}m])"
        return held

    def _sum(self, column: str) -> str:
        total = f"sum_over_time({column}[{self.window}m])"
        if self.by == ("service", "route"):
            return total
        return f"sum({total}) by ({', '.join(self.by)})"


_SIGNALS = {
    ("requests",): "requests.count",
    ("timeout",): "requests.timeouts",
    ("server_error",): "requests.server_errors",
    ("auth_failure",): "requests.auth_failures",
    ("client_error",): "requests.client_errors",
    ("timeout", "requests"): "requests.timeout_ratio",
    ("server_error", "requests"): "requests.server_error_ratio",
    ("auth_failure", "requests"): "requests.auth_failure_ratio",
    ("client_error", "requests"): "requests.client_error_ratio",
    ("latency_sum_ms", "latency_count"): "requests.latency_avg",
}
_LATENCY = ("latency_sum_ms", "latency_count")

RULES = (
    Rule("timeouts-5m", ("timeout",), 5, "> 10"),
    Rule("timeouts-15m", ("timeout",), 15, "> 30", for_=5),
    Rule("server-errors-5m", ("server_error",), 5, "> 15", for_=10),
    Rule("server-errors-30m", ("server_error",), 30, "> 60"),
    Rule("auth-failures-5m", ("auth_failure",), 5, "> 12", keep=10),
    Rule("auth-failures-10m", ("auth_failure",), 10, ">= 20", for_=5),
    Rule("client-errors-15m", ("client_error",), 15, "> 80", for_=15),
    Rule("client-errors-60m", ("client_error",), 60, "> 250"),
    Rule("flood-5m", ("requests",), 5, "> 1500", for_=5),
    Rule("flood-of-service", ("requests",), 10, "> 2500", keep=15, by=("service",)),
    Rule("silence-10m", ("requests",), 10, "< 1"),
    Rule("quiet-30m", ("requests",), 30, "< 20", for_=10),
    Rule("timeout-ratio-5m", ("timeout", "requests"), 5, "> 0.1", for_=5, min_samples=20),
    Rule("timeout-ratio-of-service", ("timeout", "requests"), 30, "> 0.03", by=("service",)),
    Rule("error-ratio-5m", ("server_error", "requests"), 5, "> 0.15", for_=10, min_samples=20),
    Rule("error-ratio-60m", ("server_error", "requests"), 60, "> 0.05", for_=15, min_samples=200),
    Rule("auth-ratio-15m", ("auth_failure", "requests"), 15, "> 0.1", min_samples=50),
    Rule("client-ratio-10m", ("client_error", "requests"), 10, ">= 0.25", for_=5, min_samples=40),
    Rule("latency-avg-5m", _LATENCY, 5, "> 600", for_=5, min_samples=20),
    Rule("latency-avg-30m", _LATENCY, 30, "> 300", for_=15, min_samples=100),
)


def write_policies(folder: Path, rules: Sequence[Rule] = RULES) -> Path:
    """The rules as policies; returns the folder, for MONITORING_POLICIES."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"policies": [rule.policy() for rule in rules]}
    (folder / "replay.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


def write_rules(path: Path, rules: Sequence[Rule] = RULES) -> Path:
    """The rules as one group of vmalert's; returns the file."""
    alerts = [
        {"alert": rule.name, "expr": rule.expression()}
        | ({"for": f"{rule.for_}m"} if rule.for_ else {})
        for rule in rules
    ]
    group = {"name": "replay", "interval": f"{INTERVAL}m", "rules": alerts}
    path.write_text(yaml.safe_dump({"groups": [group]}, sort_keys=False))
    return path
