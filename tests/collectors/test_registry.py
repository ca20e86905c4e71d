from __future__ import annotations

import subprocess
import sys

import pytest

from include.collectors import registry
from include.collectors.config import Settings
from userdb.errors import ConfigError


def test_names_need_no_import_of_collectors() -> None:
    program = (
        "import sys\n"
        "from include.collectors.registry import names\n"
        "from include.collectors.config import load_settings\n"
        "load_settings()\n"
        "expected = ['gateway_exceptions', 'request_logs', 'container_stats', 'pull']\n"
        "assert names() == expected, names()\n"
        "heavy = {'duckdb', 'docker', 'airflow', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_creates_a_collector_from_its_section() -> None:
    collector = registry.create("gateway_exceptions", Settings())
    assert (collector.name, collector.family) == ("gateway_exceptions", "event")


def test_refuses_a_name_that_is_taken() -> None:
    registry.create("gateway_exceptions", Settings())
    with pytest.raises(ConfigError, match=r"'gateway_exceptions' is registered twice"):
        registry.register("gateway_exceptions")(lambda section: section)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no collector 'logs'; there are gateway_exceptions, "):
        registry.create("logs", Settings())
