"""docs/feedback.md names the settings that there are, and commands that can be given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from monitoring.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "feedback.md").read_text(encoding="utf-8")
_MODULES = ("heartbeat", "tokens", "watchdog")
COMMANDS = re.findall(r"^bin/monitoring (.+)$", PAGE, re.M)


def test_settings_of_feedback_are_all_on_the_page() -> None:
    sources = [
        *(ROOT / "plugins" / "monitoring").glob("watch*.py"),
        *(ROOT / "plugins" / "monitoring" / "notify" / f"{name}.py" for name in _MODULES),
    ]
    used = {
        name
        for path in sources
        for name in re.findall(r'"(MONITORING_\w+)"', path.read_text(encoding="utf-8"))
    }
    used -= {"MONITORING_HOME"}
    assert len(used) == 8
    assert used == set(re.findall(r"MONITORING_\w+", PAGE))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_the_page_can_be_given(command: str) -> None:
    words = [one.replace("ID…", "no-such-alert") for one in shlex.split(command)]
    done = CliRunner().invoke(app, words)
    # there is no userdb here: what is wrong is not how the command was given
    assert done.exit_code == 1, done.output
    assert "db upgrade" in str(done.exception)
