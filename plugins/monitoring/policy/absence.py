"""Kind ``absence``: a series that stopped, or a declared one that never appeared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from monitoring.duration import Duration, format_duration
from monitoring.policy.signal_policy import WindowPolicy, matches


class AbsencePolicy(WindowPolicy):
    """A series is absent once ``window`` of covered time has passed without a sample of it.

    A sample is a minute with a value, whatever the value. What is not covered stops the clock.
    A series lives from its first sample until it is forgotten; a declared one always.
    """

    kind: Literal["absence"] = "absence"
    window: Duration = timedelta(minutes=10)
    expect: tuple[dict[str, str], ...] = Field(
        default=(),
        description="label sets, with exactly the labels of by, of series that must exist: absent "
        "even if they never appeared, and never forgotten",
    )
    #: having no value is what this kind looks for: there is nothing else to do about it
    no_data: Literal["ok"] = "ok"

    @model_validator(mode="after")
    def _forgets_after_it_was_absent(self) -> AbsencePolicy:
        if self.forget <= self.window:
            raise ValueError(
                f"forget ({format_duration(self.forget)}) must be longer than window "
                f"({format_duration(self.window)}): a series would be gone before it is absent"
            )
        return self

    @model_validator(mode="after")
    def _expects_what_can_appear(self) -> AbsencePolicy:
        for index, labels in enumerate(self.expect):
            if set(labels) != set(self.group_labels):
                raise ValueError(
                    f"expect[{index}] has the labels {_listed(labels)}; it must have exactly those "
                    f"that tell series apart (by): {_listed(self.group_labels)}"
                )
            for name, patterns in self.where.items():
                if name in labels and not matches(patterns, labels[name]):
                    raise ValueError(
                        f"expect[{index}] has {name} {labels[name]!r}, which where leaves out: it "
                        "would be absent for ever"
                    )
            if labels in self.expect[:index]:
                raise ValueError(f"expect[{index}] is there twice")
        return self

    @property
    def expected_groups(self) -> tuple[tuple[str, ...], ...]:
        """The declared series, as values of the group labels."""
        return tuple(tuple(labels[name] for name in self.group_labels) for labels in self.expect)


def _listed(names: Mapping[str, str] | tuple[str, ...]) -> str:
    return ", ".join(names) or "(none)"
