"""The files that docs/scaling.md hands out: what can be said of them without a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring import dag_layout

ROOT = Path(__file__).resolve().parents[2]
POOLS: dict[str, Any] = json.loads((ROOT / "deploy" / "pools.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, path)
    else:
        yield path, value


def test_the_chart_s_values_name_the_pools_that_are_made_for_each_kind_of_task() -> None:
    named = {one["name"]: one["value"] for one in VALUES["env"] if "POOL" in one["name"]}
    assert named == {
        f"MONITORING_POOL_{kind.upper()}": f"monitoring_{kind}" for kind in dag_layout.KINDS
    }
    assert set(named.values()) == set(POOLS)
    assert all(pool["slots"] > 0 and pool["description"] for pool in POOLS.values())


def test_the_chart_s_values_hold_no_secret() -> None:
    secret = re.compile(r"(pass|password|fernetKey|[sS]ecretKey|jwtSecret|brokerUrl|token)$")
    assert [path for path, _ in _leaves(VALUES) if secret.search(path)] == []
    assert VALUES["createUserJob"]["enabled"] is False


@pytest.mark.parametrize(
    "variable",
    [
        "MONITORING_COLLECT_TASKS",
        "MONITORING_POLICIES_PER_TASK",
        "MONITORING_ANALYSIS_TASKS",
        "MONITORING_POOL_COLLECT",
        "MONITORING_QUEUE_COLLECT",
        "MONITORING_EXECUTOR_COLLECT",
    ],
)
def test_the_layout_s_settings_are_documented(variable: str) -> None:
    assert f"`{variable}`" in (ROOT / "docs" / "scaling.md").read_text()
