"""Kind ``new_value``: a value of a label that was not seen within a memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from monitoring.duration import Duration, format_duration
from monitoring.policy.definition import MINUTE, at_least_a_minute
from monitoring.policy.signal_policy import SeriesPolicy, WindowPolicy


class NewValuePolicy(WindowPolicy):
    """A value of ``label`` is new in a minute with a sample of it, and none in ``memory`` before.

    It breaches while that minute is in the window. It is quiet where too little of that memory was
    covered to tell. A sample is a minute with a value, whatever the value. A series without the
    label has no value of it.
    """

    kind: Literal["new_value"] = "new_value"
    by: tuple[str, ...] | None = Field(
        default=None, description="labels besides label that tell series apart; default: none"
    )
    label: str = Field(description="the label whose values may be new")
    memory: Duration = Field(
        default=timedelta(days=7), description="how long a value that is not seen is remembered"
    )
    min_coverage: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.9, description="share of the memory that must be covered, else nothing is new"
    )
    #: a value that isn't there is what this kind expects
    no_data: Literal["ok"] = "ok"

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: timedelta) -> timedelta:
        return at_least_a_minute(value)

    @field_validator("forget")
    @classmethod
    def _never_forgets(cls, value: timedelta) -> timedelta:
        # the default passes: it is in every stored definition
        if value != SeriesPolicy.model_fields["forget"].default:
            raise ValueError("does not apply: a value is new until its window has passed")
        return value

    @model_validator(mode="after")
    def _sees_every_minute(self) -> NewValuePolicy:
        if self.window < self.evaluation_interval:
            raise ValueError(
                f"window ({format_duration(self.window)}) must not be shorter than "
                f"evaluation_interval ({format_duration(self.evaluation_interval)}): new values "
                "would be missed"
            )
        return self

    @property
    def named_labels(self) -> Mapping[str, Iterable[str]]:
        return {**super().named_labels, "label": (self.label,)}

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Those of ``by``, default none, and ``label``."""
        return tuple(dict.fromkeys((*(self.by or ()), self.label)))

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**super().identity, "label": self.label}

    @property
    def expects_samples(self) -> bool:
        return False

    @property
    def memory_minutes(self) -> int:
        """How long before a sample others of its value matter. Rows are read of the window alone:
        of the memory it is enough to know when each value was last seen, and what was covered."""
        return self.memory // MINUTE
