"""docs/routing.md is true: the full file is valid, its tests pass, all fields are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from monitoring.alerts.time_intervals import TimeInterval, TimeRange
from monitoring.backtest.cases import read_cases
from monitoring.backtest.check import check_cases
from monitoring.backtest.routing_cases import RoutingCase
from monitoring.notify.routing.definition import InhibitRule, RouteSpec, RoutingSpec, Step
from monitoring.notify.routing.loader import load_valid_routing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8")
FULL, TESTS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
MODELS = (RoutingSpec, RouteSpec, Step, InhibitRule, TimeInterval, TimeRange, RoutingCase)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routing.yaml").write_text(FULL, encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(TESTS, encoding="utf-8")
    return tmp_path


def test_the_full_file_is_valid(folder):
    routing = load_valid_routing(folder / "routing.yaml")
    assert len(list(routing.root.walk())) == 4
    assert routing.missing(one.name for one in routing.receivers) == {}


def test_its_tests_pass(folder):
    failures = check_cases(read_cases(folder / "tests.yaml"))
    assert not failures, "\n".join(line for one in failures for line in one.difference)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_in_an_example(model):
    for name, field in model.model_fields.items():
        assert re.search(rf"\b{field.alias or name}\b:", FULL + TESTS), name


def test_every_field_of_a_route_and_of_a_test_has_a_row():
    for model in (RouteSpec, RoutingCase):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in PAGE, name
