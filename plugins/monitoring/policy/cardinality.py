"""Kind ``cardinality``: how many values of a label there are, against a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from monitoring.policy.condition import Condition
from monitoring.policy.signal_policy import CoveredPolicy


class CardinalityPolicy(CoveredPolicy):
    """The number of values of ``label`` with a sample in the window breaches where ``condition``
    holds, and has recovered where ``recover`` does.

    A sample is a minute with a value, whatever the value. A series without the label counts for
    none, but keeps its group alive: none is a number too.
    """

    kind: Literal["cardinality"] = "cardinality"
    by: tuple[str, ...] | None = Field(
        default=None,
        description="labels that tell series apart; default: all of the signal's but label",
    )
    label: str = Field(description="the label whose values are counted")
    condition: Condition
    recover: Condition | None = Field(
        default=None, description="a firing alert is over only when this holds (hysteresis)"
    )
    #: zero is a value: there is always one
    no_data: Literal["ok"] = "ok"

    @model_validator(mode="after")
    def _counts_within_a_group(self) -> CardinalityPolicy:
        if self.label in (self.by or ()):
            raise ValueError(
                f"by names {self.label!r}, whose values are counted: each series would have one"
            )
        return self

    @property
    def named_labels(self) -> Mapping[str, Iterable[str]]:
        return {**super().named_labels, "label": (self.label,)}

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Those of ``by``, default all of the signal's but ``label``."""
        return tuple(name for name in super().group_labels if name != self.label)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**super().identity, "label": self.label}

    def worst(self, values: NDArray[np.float64]) -> float:
        return self.condition.worst(values)

    @property
    def needs_memory(self) -> bool:
        return not self.condition.rests_at_zero(self.recover)
