"""Pages of rows in a stable order. A place is the key of a page's last row: the next one begins
after it, whatever was added or changed meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")
Place = TypeVar("Place")

#: Rows that are read for one page, where not every row is on it: batches, and rows of each.
BATCHES, BATCH = 20, 1000


@dataclass(frozen=True)
class Page(Generic[Row, Place]):
    """Some rows; ``rest`` is where to go on, None where there are no more.

    It may hold fewer than were asked for, and yet have a rest: so much is read for it, and no more.
    """

    rows: list[Row]
    rest: Place | None


def read_page(
    read: Callable[[Place | None, int], Sequence[Row]],
    place: Callable[[Row], Place],
    *,
    after: Place | None,
    limit: int,
    accepts: Callable[[Row], bool] | None = None,
) -> Page[Row, Place]:
    """The page after ``after``, of at most ``limit`` rows.

    Args:
        read: the rows after a place, in their order, at most so many.
        place: of a row.
        accepts: which rows are wanted, where ``read`` can't tell; None: all.
    """
    # one more than fit on the page: so the last page is known to be the last
    batch = limit + 1 if accepts is None else max(limit + 1, BATCH)
    found: list[Row] = []
    for _ in range(BATCHES):
        rows = read(after, batch)
        for number, row in enumerate(rows, 1):
            after = place(row)
            if accepts is None or accepts(row):
                found.append(row)
            if len(found) == limit:
                is_last = number == len(rows) < batch
                return Page(found, None if is_last else after)
        if len(rows) < batch:
            return Page(found, None)
    return Page(found, after)
