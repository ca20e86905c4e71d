"""JSON Schemas of files that people write, for their editors: draft 7, with defaults as written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from monitoring.duration import format_duration

DRAFT = "http://json-schema.org/draft-07/schema#"


class FileSchema(GenerateJsonSchema):
    """Pydantic's generator, with durations as files have them: ``5m`` and not ``PT5M``."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def is_kind(kind: str, default: str) -> dict[str, Any]:
    """Holds for what is of ``kind``; that of the default one may leave it out."""
    named: dict[str, Any] = {"properties": {"kind": {"const": kind}}}
    return named if kind == default else {**named, "required": ["kind"]}


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as it is published."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
