"""Conditions such as ``> 0.05``: an operator and a number, strict as written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_PATTERN = r"^\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$"
_UFUNCS: dict[str, np.ufunc] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Condition:
    """``operator`` is one of > >= < <= == !=."""

    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises ValueError where ``text`` is not an operator and a number."""
        match = re.match(_PATTERN, text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"{text!r} is not a condition; write an operator (> >= < <= == !=) and a number, "
                "for example '> 0.05'"
            )
        return cls(match[1], float(match[2]))

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where the condition holds; same shape as ``values``. NaN holds nowhere."""
        with np.errstate(invalid="ignore"):
            result: NDArray[np.bool_] = _UFUNCS[self.operator](values, self.bound)
        return result & ~np.isnan(values)

    def rests_at_zero(self, recover: Condition | None) -> bool:
        """Whether zero is neither a breach nor, by the recovery condition, short of recovery."""
        zero = np.zeros(1)
        return not self.holds(zero)[0] and (recover is None or bool(recover.holds(zero)[0]))

    def worst(self, values: NDArray[np.float64]) -> float:
        """The lowest of ``values`` where lower ones are worse, else the highest."""
        return float((np.fmin if self.operator in ("<", "<=") else np.fmax).reduce(values))

    def __str__(self) -> str:
        return f"{self.operator} {self.bound:g}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def validate(value: Any) -> Condition:
            return value if isinstance(value, Condition) else cls.parse(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": _PATTERN, "examples": ["> 0.05"]}
