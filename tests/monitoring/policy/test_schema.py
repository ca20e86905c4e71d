"""The published JSON Schema: in step with the code, and as strict as the loader where it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from monitoring.json_schema import schema_text
from monitoring.policy.kinds import KINDS
from monitoring.policy.loader import ROUTING_FILE, policies_path
from monitoring.policy.schema import policy_file_schema

VALIDATOR = Draft7Validator(policy_file_schema())


def shipped() -> list[Path]:
    return sorted(path for path in policies_path().glob("*.yaml") if path.name != ROUTING_FILE)


def test_the_published_schema_is_that_of_the_code():
    published = (policies_path() / "policy.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(policy_file_schema()), (
        "regenerate it: monitoring policy schema > include/policies/policy.schema.json"
    )


def test_it_is_a_schema_that_knows_every_kind():
    Draft7Validator.check_schema(policy_file_schema())
    items = policy_file_schema()["properties"]["policies"]["items"]
    assert items["properties"]["kind"]["enum"] == sorted(KINDS)


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_shipped_policies_are_valid_and_name_the_schema_for_editors(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


def mistakes(**fields) -> list[str]:
    policy = {"name": "p", "signal": "requests.count", "condition": "> 1", **fields}
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in VALIDATOR.iter_errors({"policies": [policy]})
    ]


def test_a_policy_without_a_kind_is_held_against_the_default_one_alone():
    assert mistakes() == []
    assert mistakes(kind="threshold", **{"for": 0}) == []
    (error,) = mistakes(colour="red")
    assert "'colour' was unexpected" in error


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "magic"},
        {"signal": "requests.nope"},
        {"condition": "many"},
        {"for": "soon"},
        {"severity": "grave"},
        {"name": "Bad Name"},
        {"min_samples": 0},
    ],
)
def test_a_mistake_is_told_at_its_field(fields):
    assert any(
        error.startswith(f"policies.0.{next(iter(fields))}: ") for error in mistakes(**fields)
    )


def test_another_kind_is_held_against_its_own_model():
    policy = {"name": "c", "kind": "composite", "all": ["a"]}
    assert list(VALIDATOR.iter_errors({"policies": [policy]})) == []
    assert list(VALIDATOR.iter_errors({"policies": [{**policy, "signal": "requests.count"}]}))
