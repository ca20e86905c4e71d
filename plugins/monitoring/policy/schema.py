"""The JSON Schema of a policy file, for editors: made from the registered kinds."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from monitoring.policy.kinds import DEFAULT_KIND, KINDS


def policy_file_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a file of policies.

    A policy is held against the model of its kind alone, so that an editor tells what is wrong
    with it and not why it is of no kind.
    """
    keys, definitions = models_json_schema(
        [(model, "validation") for model in KINDS.values()], by_alias=True
    )
    references = {kind: keys[model, "validation"] for kind, model in KINDS.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Policies of the monitoring chain",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "policies": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"kind": {"enum": sorted(KINDS), "default": DEFAULT_KIND}},
                    "allOf": [
                        {"if": _is_kind(kind), "then": references[kind]} for kind in sorted(KINDS)
                    ],
                },
            }
        },
        **definitions,
    }


def _is_kind(kind: str) -> dict[str, Any]:
    """Holds for a policy of ``kind``; that of the default one may leave it out."""
    named: dict[str, Any] = {"properties": {"kind": {"const": kind}}}
    return named if kind == DEFAULT_KIND else {**named, "required": ["kind"]}


def schema_text() -> str:
    """The schema as it is published beside the shipped policies."""
    return json.dumps(policy_file_schema(), indent=2, ensure_ascii=False) + "\n"
