"""The JSON Schema of routing.yaml, for editors: made from what the loader reads it with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from monitoring.json_schema import DRAFT, FileSchema, is_kind
from monitoring.notify.channels import kinds, options_model
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.routing.definition import RoutingSpec

_DEFAULT_KIND = ReceiverSpec.model_fields["kind"].default


def routing_file_schema() -> dict[str, Any]:
    """JSON Schema, draft 7, of routing.yaml.

    A receiver's options are held against those of its kind alone. What no single field shows is
    left to the loader: names of time intervals, what contradicts itself.
    """
    options = {kind: options_model(kind) for kind in kinds()}
    models: list[type[BaseModel]] = [RoutingSpec, ReceiverSpec, *options.values()]
    keys, rest = models_json_schema(
        [(model, "validation") for model in models],
        by_alias=True,
        schema_generator=FileSchema,
    )
    definitions = rest["$defs"]
    file = definitions.pop("RoutingSpec")["properties"]
    # the root takes every alert
    file["route"] = {"allOf": [file["route"], {"properties": {"matchers": {"maxItems": 0}}}]}
    definitions["ReceiverSpec"]["properties"]["kind"] = {
        "enum": list(kinds()),
        "default": _DEFAULT_KIND,
    }
    for model in options.values():
        definition = definitions[model.__name__]
        names = "|".join(definition["properties"])
        # an environment variable that holds the value
        definition["patternProperties"] = {f"^({names})_env$": {"type": "string", "minLength": 1}}
    by_kind = [
        {
            "if": is_kind(kind, _DEFAULT_KIND),
            "then": {"properties": {"options": keys[model, "validation"]}},
        }
        for kind, model in options.items()
    ]
    receiver = {"allOf": [keys[ReceiverSpec, "validation"], *by_kind]}
    return {
        "$schema": DRAFT,
        "title": "Routing of the monitoring chain's notifications",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"receivers": {"type": ["array", "null"], "items": receiver}, **file},
        "$defs": definitions,
    }
