"""`make up`: the platform, light traffic and Airflow on its schedule, until Ctrl-C."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.markup import escape

from demo.progress import Progress
from demo.stage import Stage, shown, tell_message
from demo.upstream import FAULTS

RATE = 2.0


def run_up(progress: Progress, folder: Path, *, use_nginx: bool = True) -> None:
    """Start everything, say where it is, and stay until interrupted."""
    with Stage(progress, folder, live=True, use_nginx=use_nginx) as stage:
        stage.start_traffic(RATE)
        airflow = stage.start_airflow()
        say = progress.say
        say("schedule", "the chain runs every five minutes, with the policies of include/policies")
        say("folder", f"{shown(stage.scratch.folder)}: emptied when it is started again")
        faults = json.dumps(FAULTS)
        put = f"curl -X PUT {stage.platform.faults_url} -d"
        say("incident", escape(f"begin it: {put} '{faults}'"))
        say("", escape(f"end it:   {put} '[]'"))
        file = shown(airflow.environment_file)
        say("look", f"AIRFLOW_ENVIRONMENT_FILE={file} bin/monitoring alerts list")
        progress.console.print("\n[bold]Ctrl-C stops everything.[/]\n")
        told = 0
        while True:
            airflow.check()
            for child in stage.platform.processes():
                child.check()
            for message in stage.receiver.messages()[told:]:
                tell_message(progress, message)
                told += 1
            time.sleep(1)
