"""One collection of request_logs in a process of its own, measured: what benchmarks run.

    python -m benchmarks.collect_once URL FORMAT START END PATHS...

What is measured begins when everything is imported and userdb is migrated.
"""

from __future__ import annotations

import sys
from datetime import datetime

from monitoring.window import Window

from benchmarks.processes import measured, report
from include.collectors.config import Settings
from include.collectors.registry import create
from include.collectors.run import run_collector
from userdb.migrate import upgrade
from userdb.store import open_store


def main(url: str, log_format: str, start: str, end: str, *paths: str) -> None:
    store = open_store(url)
    upgrade(store)
    source = {"name": "gateway", "paths": list(paths), "format": log_format}
    settings = Settings.model_validate({"request_logs": {"sources": [source]}})
    window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
    # imports the collector: what is loaded lazily is not what is measured
    create("request_logs", settings)
    used, collected = measured(
        lambda: run_collector("request_logs", window, store, now=window.end, settings=settings)
    )
    store.close()
    # the log may begin within the window's first minute, which is then not known
    if any(source.status == "failed" for source in collected.sources):
        raise SystemExit(str(collected))
    report(used, rows=collected.rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
