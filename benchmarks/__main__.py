"""Run every benchmark, each in a process of its own: ``python -m benchmarks``."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "range_read",
    "analysis",
    "history_cost",
    "replay",
    "backfill",
    "chain_overhead",
    "workers",
    "deliveries",
    "containers",
    "live_window",
    "request_logs",
    "reporting",
    "ingest",
)


def main() -> int:
    failed = 0
    for name in BENCHMARKS:
        print(f"\n## {name}\n", flush=True)
        failed |= subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], check=False
        ).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
