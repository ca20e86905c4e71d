"""A signal over time, series by series, as charts show it: the values that policies would see.

Each point is the signal over one step, measured as a policy with that window measures it. A step
that was not collected is unknown, which is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sqlalchemy import Connection

from monitoring.facts import UserdbFacts, selected_series
from monitoring.policy.signal_policy import MeasuredPolicy
from monitoring.scoring.classes import evaluation_times
from monitoring.scoring.facts import Selection
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.measure import measure
from userdb.errors import FieldError, InvalidRequestError
from userdb.store import Store

MAX_POINTS = 2000
#: Minutes × series × columns that one chart may read, and that are held at once.
_MAX_CELLS = 50_000_000
_CELLS_AT_ONCE = 4_000_000
#: Points × series that it may compute.
_MAX_VALUES = 5_000_000
#: Fields of policies that charts call otherwise.
_PARAMETERS = {"window": "step"}


@dataclass(frozen=True)
class Chart:
    """A signal over P steps, for G groups of series.

    Attributes:
        starts: first minute of each step, which is ``step`` minutes long; int64, (P,).
        coverage: share of each step that was collected; float64, (P,).
        groups: the labels of each row of ``values``; G.
        values: in the signal's unit; float64, (G, P). NaN: unknown, or no value.
        left_out: how many groups there are besides, with lower peaks.
    """

    step: int
    starts: NDArray[np.int64]
    coverage: NDArray[np.float64]
    groups: list[dict[str, str]]
    values: NDArray[np.float64]
    left_out: int


def charted(**fields: Any) -> MeasuredPolicy:
    """What is to be charted: ``signal``, ``window`` (the step), and as policies say it ``by``,
    ``where``, ``aggregate``, ``quantile``.

    Raises:
        InvalidRequestError: they don't fit together.
    """
    try:
        return MeasuredPolicy.model_validate({"name": "chart", "kind": "chart", **fields})
    except ValidationError as error:
        errors = [
            FieldError(
                field=_PARAMETERS.get(str(one["loc"][0]), str(one["loc"][0]))
                if one["loc"]
                else "signal",
                message=one["msg"].removeprefix("Value error, "),
            )
            for one in error.errors()
        ]
        raise InvalidRequestError(
            "; ".join(one["message"] for one in errors), errors=errors
        ) from None


def read_chart(
    store: Store,
    connection: Connection,
    what: MeasuredPolicy,
    first: int,
    stop: int,
    *,
    max_series: int,
) -> Chart:
    """The chart of the minutes [first, stop), widened to whole steps since 1970.

    Of more than ``max_series`` groups those with the highest peaks are kept, in label order.

    Raises:
        InvalidRequestError: too much to be read, or too many points.
    """
    step = what.window_minutes
    first, stop = first // step * step, -(-stop // step) * step
    points = (stop - first) // step
    if points > MAX_POINTS:
        raise InvalidRequestError.of(
            "step", f"that is {points:,} points; at most {MAX_POINTS:,} are shown: widen step"
        )
    ends = evaluation_times(step, first, stop)
    selection = Selection.of(what)
    series = len(selected_series(connection, [selection], first, stop))
    cells = (stop - first) * series * len(selection.columns)
    if cells > _MAX_CELLS or points * series > _MAX_VALUES:
        raise InvalidRequestError.of(
            "where",
            f"that is too much to read for one chart ({series:,} series over {stop - first:,} "
            "minutes): shorten the range, or narrow it with where",
        )
    steps_at_once = max(1, points * _CELLS_AT_ONCE // max(cells, 1))
    facts = UserdbFacts(store, connection)
    # a count is zero where it is known and nothing came; all else has no value then
    nothing = 0.0 if what.signal_definition.kind == "count" else np.nan
    found: dict[tuple[str, ...], NDArray[np.float64]] = {}
    coverage = np.zeros(len(ends))
    unknown = np.zeros(len(ends), dtype=np.bool_)
    for at in range(0, len(ends), steps_at_once):
        part = slice(at, at + steps_at_once)
        own = ends[part]
        matrix = facts.matrix(selection, int(own[0]) - step, int(own[-1]))
        look = Lookback(matrix, own, step, 0)
        coverage[part] = look.covered_within(step) / step
        unknown[part] = look.unknown(what.coverage_needed)
        for group, values in zip(matrix.groups, measure(what, look).T, strict=True):
            found.setdefault(group, np.full(len(ends), nothing))[part] = values
    chosen = _highest(found, unknown, max_series)
    return Chart(
        step,
        ends - step,
        coverage,
        [dict(zip(what.group_labels, group, strict=True)) for group in chosen],
        np.stack([found[group] for group in chosen]) if chosen else np.empty((0, len(ends))),
        len(found) - len(chosen),
    )


def _highest(
    found: dict[tuple[str, ...], NDArray[np.float64]], unknown: NDArray[np.bool_], most: int
) -> list[tuple[str, ...]]:
    """The groups with the highest peaks, in label order; blanks what is unknown, in place."""
    peaks: dict[tuple[str, ...], float] = {}
    for group, values in found.items():
        values[unknown] = np.nan
        peaks[group] = float(np.fmax.reduce(values, initial=-np.inf))
    return sorted(sorted(found, key=lambda group: (-peaks[group], group))[:most])
