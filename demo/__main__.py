"""``python -m demo``: see the chain at work. ``python -m demo --up``: leave it running."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.markup import escape

from demo.airflow_api import AirflowApiError
from demo.chain_runs import ChainError
from demo.interruption import interrupt_on_signals
from demo.processes import ROOT, StartError
from demo.progress import Progress, make_console
from demo.run import run_demo
from demo.supervisor import AirflowStartError
from demo.up import run_up
from userdb.errors import MonitoringError

#: What a shell says of a process that Ctrl-C ended.
_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 where everything came as it should, or ``--up`` was stopped."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--up", action="store_true", help="run on the schedule, with light traffic, until Ctrl-C"
    )
    parser.add_argument(
        "--without-nginx",
        action="store_true",
        help="use the built-in gateway even where nginx is installed",
    )
    parser.add_argument(
        "--folder", type=Path, help="for everything that is written; default var/demo or var/up"
    )
    given = parser.parse_args(arguments)
    folder = (given.folder or ROOT / "var" / ("up" if given.up else "demo")).resolve()
    progress = Progress(make_console())
    interrupt_on_signals()
    try:
        if given.up:
            run_up(progress, folder, use_nginx=not given.without_nginx)
            return 0
        return 0 if run_demo(progress, folder, use_nginx=not given.without_nginx) else 1
    except KeyboardInterrupt:
        progress.console.print("stopped: nothing that was started is left")
        return 0 if given.up else _INTERRUPTED
    except (StartError, AirflowStartError, AirflowApiError, ChainError, MonitoringError) as error:
        progress.console.print(f"[bold red]failed:[/] {escape(str(error))}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
