"""Kind ``threshold``: a signal, aggregated over a window, against a condition."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from monitoring.policy.condition import Condition
from monitoring.policy.signal_policy import MeasuredPolicy


class ThresholdPolicy(MeasuredPolicy):
    """The value breaches where ``condition`` holds, and has recovered where ``recover`` does."""

    kind: Literal["threshold"] = "threshold"
    condition: Condition
    recover: Condition | None = Field(
        default=None, description="a firing alert is over only when this holds (hysteresis)"
    )

    def worst(self, values: NDArray[np.float64]) -> float:
        return self.condition.worst(values)

    @property
    def needs_memory(self) -> bool:
        if self.signal_definition.kind != "count":
            return self.no_data != "ok"
        return not self.condition.rests_at_zero(self.recover)
