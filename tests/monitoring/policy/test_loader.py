"""Policy files: every error names file, line and field, and never hides the other policies."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitoring.policy.kinds import KINDS, parse_policy, register_kind, stored_form
from monitoring.policy.loader import load_policies, policies_path
from monitoring.scoring.registry import register_scorer
from pydantic import ValidationError

from userdb.errors import PolicyError

GOOD = "  - {name: good, signal: requests.count, condition: '> 1'}\n"


def load(folder: Path, text: str):
    (folder / "p.yaml").write_text("policies:\n" + GOOD + text)
    loaded = load_policies(folder)
    assert [policy.name for policy in loaded.policies] == ["good"]
    return "\n".join(str(error) for error in loaded.errors), loaded


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  - {name: b, signal: requests.nope, condition: '> 1'}", "p.yaml:3: policies[1].signal"),
        ("  - {name: b, signal: requests.count, condition: 'many'}", "is not a condition"),
        ("  - {name: b, signal: requests.count, condition: '> 1', for: 5}", "is not a duration"),
        (
            "  - {name: b, signal: requests.count, condition: '> 1', for: 30s}",
            "whole number of min",
        ),
        ("  - {name: b, signal: requests.count, condition: '> 1', by: [planet]}", "'planet'"),
        ("  - {name: b, signal: requests.count, condition: '> 1', where: {x: y}}", "'x'"),
        ("  - {name: b, signal: requests.count, condition: '> 1', colour: red}", "colour"),
        ("  - {name: B!, signal: requests.count, condition: '> 1'}", "policies[1].name"),
        ("  - {name: b, kind: magic, signal: requests.count}", "unknown kind 'magic'"),
        ("  - {name: b, signal: requests.latency, condition: '> 1'}", "needs a quantile"),
        (
            "  - {name: b, signal: requests.count, condition: '> 1', quantile: 0.9}",
            "quantile does not apply",
        ),
        (
            "  - {name: b, signal: requests.timeout_ratio, condition: '> 1', aggregate: sum}",
            "drop aggregate",
        ),
        (
            "  - {name: b, signal: requests.count, condition: '> 1', labels: {v: '{{ value }}'}}",
            "change the alert's identity",
        ),
        (
            "  - {name: b, signal: requests.count, condition: '> 1', labels: {severity: x}}",
            "is set by the chain",
        ),
        (
            "  - {name: b, signal: requests.count, condition: '> 1', annotations: {s: '{{ x'}}",
            "not a valid template",
        ),
        ("  - just text", "must be a mapping"),
        ("  - {name: good, signal: requests.count, condition: '> 2'}", "is taken by"),
    ],
)
def test_an_error_names_file_line_and_field(tmp_path, text, says):
    error, _ = load(tmp_path, text)
    assert says in error
    assert "p.yaml:3: policies[1]" in error


def test_yaml_that_cannot_be_parsed_proves_no_removal(tmp_path):
    (tmp_path / "bad.yaml").write_text("policies: [")
    error, loaded = load(tmp_path, "")
    assert "bad.yaml:1:" in error
    assert loaded.unreadable


def test_a_broken_policy_is_known_by_name(tmp_path):
    _, loaded = load(tmp_path, "  - {name: b, signal: nope, condition: '> 1'}")
    assert loaded.broken == {"b"}
    assert not loaded.unreadable


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(PolicyError, match="no such file or folder"):
        load_policies(tmp_path / "nowhere")


def test_the_folder_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    assert policies_path() == tmp_path


def test_the_shipped_policies_are_valid_and_survive_storage(monkeypatch):
    monkeypatch.delenv("MONITORING_POLICIES", raising=False)
    loaded = load_policies()
    assert loaded.errors == ()
    families = {policy.family.name for policy in loaded.policies}
    assert families == {"event", "request", "container"}
    for policy in loaded.policies:
        assert parse_policy(stored_form(policy)) == policy
        assert policy.annotations["summary"]


def test_registries_refuse_duplicates():
    model = KINDS["threshold"]
    with pytest.raises(ValueError, match="registered twice"):
        register_kind(model)
    with pytest.raises(ValueError, match="two scorers"):
        register_scorer(model, lambda *_: None)


def test_a_policy_is_immutable():
    policy = parse_policy({"name": "p", "signal": "requests.count", "condition": "> 1"})
    with pytest.raises(ValidationError):
        policy.name = "q"


COMPOSITES = """
policies:
  - {name: a, signal: requests.count, condition: "> 1", by: [service, route]}
  - {name: b, signal: events.count, condition: "> 1", by: [level, service]}
"""


def composites(folder, *entries: str):
    (folder / "p.yaml").write_text(COMPOSITES + "".join(f"  - {entry}\n" for entry in entries))
    return load_policies(folder)


def test_a_composite_is_joined_on_all_labels_that_its_policies_share(tmp_path):
    loaded = composites(
        tmp_path,
        "{name: c, kind: composite, any: [d], unless: [a]}",
        "{name: d, kind: composite, all: [a, b]}",
    )
    assert not loaded.errors
    by_name = {policy.name: policy for policy in loaded.policies}
    assert by_name["d"].group_labels == ("service",)
    assert by_name["c"].group_labels == ("service",)


@pytest.mark.parametrize(
    ("entries", "messages"),
    [
        (
            ["{name: c, kind: composite, all: [a, nobody]}"],
            ["p.yaml:5: policy c: it names the policy 'nobody', and there is no valid one"],
        ),
        (
            ["{name: c, kind: composite, all: [a, b], by: [route]}"],
            ["by names the label 'route', by which b does not tell series apart"],
        ),
        (
            [
                "{name: c, kind: composite, all: [a, d]}",
                "{name: d, kind: composite, any: [e]}",
                "{name: e, kind: composite, any: [c]}",
            ],
            [
                "policy e: it depends on itself: c → d → e → c",
                "policy d: it names 'e', which is not valid",
                "policy c: it names 'd', which is not valid",
            ],
        ),
        (
            ["{name: c, kind: composite, unless: [a]}"],
            ["name at least one policy in all or in any"],
        ),
        (["{name: c, kind: composite, all: [a, a]}"], ["a policy is named twice"]),
    ],
)
def test_a_composite_that_cannot_be_evaluated_is_refused_and_the_others_are_not(
    tmp_path, entries, messages
):
    loaded = composites(tmp_path, *entries)
    assert [policy.name for policy in loaded.policies] == ["a", "b"]
    text = "\n".join(map(str, loaded.errors))
    for message in messages:
        assert message in text
    assert len(loaded.errors) == len(messages)
