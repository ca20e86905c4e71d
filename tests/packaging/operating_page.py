"""A page of docs/operating, and a shell that runs its commands as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "operating"


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str = "sh") -> list[str]:
    """The blocks of a page in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.M | re.S)


class Shell:
    """Runs blocks in ``folder``, where ``monitoring`` is the installed command.

    Variables that a block sets are there for the next ones.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        program = folder / "bin" / "monitoring"
        program.parent.mkdir(exist_ok=True)
        code = "from monitoring.cli import main; main()"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        program.chmod(0o755)
        own = {
            name: value
            for name, value in os.environ.items()
            if "proxy" not in name.lower() and not name.startswith(("MONITORING_", "AIRFLOW"))
        }
        venv = Path(sys.executable).parent
        self.environment = {
            **own,
            "HOME": str(folder),
            "MONITORING_HOME": str(folder),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}:{venv}",
            **environment,
        }

    def __call__(self, block: str, *, timeout: float = 240) -> str:
        """What the block prints on stdout. Fails where a command of it does."""
        variables = self.folder / ".variables"
        script = f"set -euo pipefail\n{block}\nexport -p > {variables}\n"
        before = f". {variables}\n" if variables.exists() else ""
        done = subprocess.run(
            ["bash", "-c", f"set -a\n{before}{script}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout
