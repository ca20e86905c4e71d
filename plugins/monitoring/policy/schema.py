"""The JSON Schema of a policy file, for editors: made from the registered kinds."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from monitoring.json_schema import DRAFT, FileSchema, is_kind
from monitoring.policy.kinds import DEFAULT_KIND, KINDS


def policy_file_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of a file of policies.

    A policy is held against the model of its kind alone, so that an editor tells what is wrong
    with it and not why it is of no kind.
    """
    keys, definitions = models_json_schema(
        [(model, "validation") for model in KINDS.values()],
        by_alias=True,
        schema_generator=FileSchema,
    )
    references = {kind: keys[model, "validation"] for kind, model in KINDS.items()}
    return {
        "$schema": DRAFT,
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
                        {"if": is_kind(kind, DEFAULT_KIND), "then": references[kind]}
                        for kind in sorted(KINDS)
                    ],
                },
            }
        },
        **definitions,
    }
