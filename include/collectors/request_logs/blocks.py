"""A log file's bytes in blocks of whole lines, and where in a big file to begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa

#: Bytes read at once: what bounds the memory of a collection, whatever the file's size.
BLOCK = 16 << 20
#: A longer line is refused without being held in memory.
MAX_LINE = 8 << 20
#: Bytes looked at in one step of the search for a time, and the distance at which it ends.
_PROBE = 64 << 10
_CLOSE = 256 << 10
#: Lines of one Arrow batch: DuckDB's threads share a block by batches.
_BATCH = 8_192


@dataclass(frozen=True)
class Block:
    """Whole lines. ``offset`` is that of the first byte, in the decompressed file.

    ``too_long`` is the offset of a line that was skipped just before the block.
    """

    offset: int
    data: bytes
    too_long: int | None = None

    def table(self) -> pa.Table:
        """Columns ``byte_offset`` (int64) and ``line`` (text, with its newline)."""
        data = np.frombuffer(self.data, dtype=np.uint8)
        starts = np.concatenate(([0], np.flatnonzero(data == 10) + 1)).astype(np.int32)
        lines = pa.Array.from_buffers(
            pa.binary(), len(starts) - 1, [None, pa.py_buffer(starts), pa.py_buffer(self.data)]
        )
        try:
            text = lines.cast(pa.string())
        except pa.ArrowInvalid:
            # offsets stay those of the bytes; only what is shown of the bad ones is changed
            text = pa.array(
                [line.decode("utf-8", "replace") for line in lines.to_pylist()], pa.string()
            )
        table = pa.table({"byte_offset": starts[:-1].astype(np.int64) + self.offset, "line": text})
        return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH), table.schema)


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_blocks(
    stream: Readable, offset: int, stop: int | None, size: int = BLOCK
) -> Iterator[Block]:
    """Blocks of whole lines from ``stream``, which stands at ``offset``, the start of a line.

    Nothing is read from ``stop`` on. A last line without its newline is left for later.
    """
    rest = b""
    skipping: int | None = None
    while True:
        wanted = size if stop is None else min(size, stop - offset - len(rest))
        data = stream.read(wanted) if wanted > 0 else b""
        if not data:
            return
        if skipping is not None:
            end = data.find(b"\n") + 1
            if not end:
                offset += len(data)
                continue
            offset += end
            data = data[end:]
        whole = rest + data
        end = whole.rfind(b"\n") + 1
        too_long, skipping = skipping, None
        if end or too_long is not None:
            yield Block(offset, whole[:end], too_long)
        offset += end
        rest = whole[end:]
        if len(rest) > MAX_LINE:
            skipping = offset
            offset += len(rest)
            rest = b""


class BlocksFrom:
    """``blocks`` without the first ones, as long as they end before ``low_us``.

    What is compressed can't be searched; to see when a block ends is all that it costs.

    Attributes:
        dropped: the latest time at which one of those ends; None where there was none.
        done: whether all blocks were read.
    """

    def __init__(
        self, low_us: int, blocks: Iterable[Block], latest_time: Callable[[bytes], int | None]
    ) -> None:
        self._low_us = low_us
        self._blocks = iter(blocks)
        self._latest_time = latest_time
        self.dropped: int | None = None
        self.done = False

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks:
            tail = block.data[-_PROBE:]
            at = self._latest_time(tail[tail.find(b"\n") + 1 :])
            if at is None or at >= self._low_us:
                yield block
                break
            self.dropped = at if self.dropped is None else max(at, self.dropped)
        yield from self._blocks
        self.done = True


def time_range(
    stream: BinaryIO,
    size: int,
    low_us: int,
    high_us: int,
    latest_time: Callable[[bytes], int | None],
) -> tuple[int, int]:
    """Where lines from ``low_us`` to ``high_us`` are: [start of a line, end) in bytes.

    Every line of ``low_us`` or later lies behind the start, and before the end lies one of
    ``high_us`` or later, or the file ends there. Bisects the file by the times of its lines
    (``latest_time`` gives the latest of some whole lines, in microseconds), so times must not lie
    further out of order than the caller allows for.
    """
    start, _ = _bisect(stream, (0, size), low_us, latest_time)
    # a live window ends with the file; and where a clock was set back, what follows counts
    _, at = _probe(stream, max(start, size - _PROBE), size, latest_time)
    if at is None or at < high_us:
        return start, size
    return start, _bisect(stream, (start, size), high_us, latest_time)[1]


def _bisect(
    stream: BinaryIO,
    within: tuple[int, int],
    target_us: int,
    latest_time: Callable[[bytes], int | None],
) -> tuple[int, int]:
    """The start of a line before which all are of before ``target_us``, and the end of lines of
    which one isn't."""
    low, high = within
    end = high
    while high - low > _CLOSE:
        middle = (low + high) // 2
        start, at = _probe(stream, middle, high, latest_time)
        if at is None:
            high = middle
        elif at >= target_us:
            high, end = middle, min(start + _PROBE, within[1])
        else:
            low = start
    return low, end


def _probe(
    stream: BinaryIO, offset: int, stop: int, latest_time: Callable[[bytes], int | None]
) -> tuple[int, int | None]:
    """Start and time of the first lines after ``offset`` that have one, before ``stop``."""
    start = _next_line(stream, offset, stop)
    while start < stop:
        stream.seek(start)
        data = stream.read(min(_PROBE, stop - start))
        end = data.rfind(b"\n") + 1
        if end:
            at = latest_time(data[:end])
            if at is not None:
                return start, at
            start += end
        else:
            start = _next_line(stream, start + len(data), stop)
    return start, None


def _next_line(stream: BinaryIO, offset: int, stop: int) -> int:
    """The offset after the first newline from ``offset`` on; ``stop`` where there is none."""
    stream.seek(offset)
    size = 4 << 10
    while offset < stop:
        # not readline: where a log was truncated under its writer, a "line" may be a hole of GiBs
        data = stream.read(min(size, stop - offset))
        if not data:
            break
        end = data.find(b"\n") + 1
        if end:
            return offset + end
        offset += len(data)
        size = min(2 * size, _PROBE)
    return stop
