"""The published JSON Schema: in step with the code, and as strict as the loader where it can be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from monitoring.json_schema import schema_text
from monitoring.notify.channels import kinds
from monitoring.notify.routing.loader import load_routing
from monitoring.notify.routing.schema import routing_file_schema
from monitoring.policy.loader import ROUTING_FILE
from monitoring.policy.schema import policy_file_schema

SCHEMA = routing_file_schema()
VALIDATOR = Draft7Validator(SCHEMA)
PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
SHIPPED = PROJECT / "include" / "policies"
EXAMPLES = [
    block
    for name in ("routing.md", "receivers.md")
    for block in re.findall(r"^```yaml\n(.*?)^```", (DOCS / name).read_text("utf-8"), re.M | re.S)
    if not block.startswith("routing_file")
]


def mistakes(text: str) -> list[str]:
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in VALIDATOR.iter_errors(yaml.safe_load(text))
    ]


def test_the_published_schema_is_that_of_the_code():
    published = (SHIPPED / "routing.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(SCHEMA), (
        "regenerate it: monitoring routing schema > include/policies/routing.schema.json"
    )


def test_it_is_a_schema_that_knows_every_kind_of_receiver():
    Draft7Validator.check_schema(SCHEMA)
    kind = SCHEMA["$defs"]["ReceiverSpec"]["properties"]["kind"]
    assert kind == {"enum": list(kinds()), "default": "webhook"}


def test_the_shipped_file_is_valid_and_names_the_schema_for_editors():
    text = (SHIPPED / ROUTING_FILE).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=routing.schema.json\n")
    assert mistakes(text) == []


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_what_the_docs_show_is_valid(text):
    assert mistakes(text) == []


def test_nothing_at_all_is_valid():
    assert mistakes("") == mistakes("receivers:") == mistakes("route: {receiver: }") == []


TIMES = "time_intervals: [{{name: n, time_intervals: [{}]}}]"
TIME_PLACE = "time_intervals.0.time_intervals.0"


@pytest.mark.parametrize(
    "given",
    [
        '{weekdays: sunday, days_of_month: -1, months: 12, years: "2026:2028"}',
        '{weekdays: ["Monday : Friday", saturday], days_of_month: ["-7:-1", 15, "1"]}',
        '{months: ["January:march", "4:5", december], years: [2030]}',
        '{times: [{start_time: "00:00", end_time: "24:00"}, {start_time: 0, end_time: 1020}]}',
        '{location: "Asia/Shanghai"}',
        "{}",
    ],
)
def test_what_the_loader_takes_as_a_time_is_valid(given, tmp_path):
    text = TIMES.format(given)
    (tmp_path / "routing.yaml").write_text(text)
    assert load_routing(tmp_path / "routing.yaml").errors == {}
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("routing: {}", ""),
        ("route: {recevier: ops}", "route"),
        ("route: {matchers: ['a=\"b\"']}", "route.matchers"),
        ("route: {group_wait: soon}", "route.group_wait"),
        ("route: {group_by: alertname}", "route.group_by"),
        ("route: {continue: sometimes}", "route.continue"),
        ("route: {escalate: [{after: 5m}]}", "route.escalate"),
        ("route: {routes: [{matchers: [severity]}]}", "route.routes.0.matchers.0"),
        ("route: {routes: [{routes: [{receiver: 7}]}]}", "route.routes.0.routes.0.receiver"),
        ("inhibit_rules: [{source_matchers: [a=b]}]", "inhibit_rules.0"),
        (
            "inhibit_rules: [{source_matchers: [], target_matchers: [a=b]}]",
            "inhibit_rules.0.source_matchers",
        ),
        (TIMES.format("{weekdays: [5]}"), f"{TIME_PLACE}.weekdays"),
        (TIMES.format("{days_of_month: [0]}"), f"{TIME_PLACE}.days_of_month"),
        (TIMES.format("{months: [13]}"), f"{TIME_PLACE}.months"),
        (TIMES.format("{years: ['soon']}"), f"{TIME_PLACE}.years"),
        (
            TIMES.format("{times: [{start_time: '9:00', end_time: '10:00'}]}"),
            f"{TIME_PLACE}.times.0.start_time",
        ),
        ("receivers: [{kind: log}]", "receivers.0"),
        ("receivers: [{name: a, kind: pigeon}]", "receivers.0.kind"),
        ("receivers: [{name: a, url: 'https://x'}]", "receivers.0"),
        ("receivers: [{name: a, language: fr}]", "receivers.0.language"),
        (
            "receivers: [{name: a, rate_limit: {messages: 0}}]",
            "receivers.0.rate_limit",
        ),
        ("receivers: [{name: a, options: {callback: true}}]", "receivers.0.options"),
        ("receivers: [{name: a, kind: log, options: {verify: false}}]", "receivers.0.options"),
        (
            "receivers: [{name: a, kind: alertmanager, options: {expires: soon}}]",
            "receivers.0.options.expires",
        ),
    ],
)
def test_a_mistake_is_told_at_its_field_and_refused_by_the_loader_too(text, place, tmp_path):
    assert any(error.startswith(f"{place}: ") for error in mistakes(text)), mistakes(text)
    if "options" not in text and "pigeon" not in text:  # those the channels check
        (tmp_path / "routing.yaml").write_text(text)
        assert load_routing(tmp_path / "routing.yaml").errors != {}


def test_an_option_may_be_in_the_environment():
    text = "receivers: [{name: a, options: {proxy_env: PROXY, template: a.j2}}]"
    assert mistakes(text) == []


@pytest.mark.parametrize("schema", [SCHEMA, policy_file_schema()], ids=["routing", "policies"])
def test_every_default_is_a_value_that_its_field_takes(schema):
    found = 0

    def walk(part):
        nonlocal found
        if isinstance(part, dict):
            if "default" in part and not isinstance(part["default"], dict | list):
                found += 1
                field = {**part, "$defs": schema["$defs"]}
                assert list(Draft7Validator(field).iter_errors(part["default"])) == [], part
            for one in part.values():
                walk(one)
        elif isinstance(part, list):
            for one in part:
                walk(one)

    walk(schema)
    assert found > 10
