"""Big access logs of an nginx: JSON (docs/log_formats) and combined, the same requests in both.

Twelve services with 48 routes on three instances each; one request in twenty fails. Lines follow
each other as requests end: up to a second out of order.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

FORMATS = ("nginx_json", "nginx_combined")
#: Seconds of traffic that differ; their requests come again with another time and other ids.
_VARIETY = 240
_MARK = b"@@seconds@"
_CLF_MARK = b"@@@@@@@@time@@@@@@@@@@@@@@"


@dataclass(frozen=True)
class Traffic:
    """``per_second`` requests a second, from ``start`` on."""

    start: datetime
    per_second: int
    seed: int = 7

    def blocks(self, log_format: str, seconds: int) -> Iterator[bytes]:
        """The lines of each of ``seconds`` seconds."""
        source = random.Random(self.seed)
        ends_with = [self._second(source) for _ in range(_VARIETY)]
        first = int(self.start.timestamp())
        json, combined = ([block[at] for block in ends_with] for at in (0, 1))
        for number in range(seconds):
            if log_format == "nginx_json":
                yield json[number % _VARIETY].replace(_MARK, str(first + number).encode())
            else:
                at = self.start + timedelta(seconds=number)
                text = at.strftime("%d/%b/%Y:%H:%M:%S +0000").encode()
                yield combined[number % _VARIETY].replace(_CLF_MARK, text)

    def _second(self, source: random.Random) -> tuple[bytes, bytes]:
        json, combined = [], []
        mark, clf = _MARK.decode(), _CLF_MARK.decode()
        for _ in range(self.per_second):
            route = source.randrange(48)
            service = f"sim-{route % 12}"
            path = f"/{service}/api/v2/part-{route}/{source.randrange(10**6)}"
            query = f"?page={source.randrange(50)}" if source.random() < 0.5 else ""
            status = source.choice([200] * 57 + [404, 401, 502])
            size = source.randrange(200, 90_000)
            client = f"10.{source.randrange(4)}.{source.randrange(256)}.{source.randrange(256)}"
            method = source.choice(["GET", "GET", "GET", "POST", "PUT"])
            agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{100 + source.randrange(40)}.0) Gecko"
            took = source.expovariate(20)
            json.append(
                f'{{"time":"{mark}.{source.randrange(1000):03}",'
                f'"request_id":"{source.getrandbits(88):022x}{mark}",'
                f'"remote_addr":"{client}","remote_user":"","request_method":"{method}",'
                f'"host":"gw.example.org","request_uri":"{path}{query}","status":"{status}",'
                f'"body_bytes_sent":"{size}","request_time":"{took:.3f}",'
                f'"upstream_addr":"10.9.{route}.{source.randrange(3)}:8080",'
                f'"upstream_status":"{status}","upstream_response_time":"{took:.3f}",'
                f'"http_user_agent":"{agent}"}}\n'
            )
            combined.append(
                f'{client} - - [{clf}] "{method} {path}{query} HTTP/1.1" {status} {size} '
                f'"-" "{agent}"\n'
            )
        return "".join(json).encode(), "".join(combined).encode()


@dataclass(frozen=True)
class Written:
    """A log that was written: its requests are those of [start, end)."""

    path: Path
    lines: int
    size: int
    start: datetime
    end: datetime


def write_log(
    path: Path, log_format: str, *, size: int, end: datetime, per_second: int, seed: int = 7
) -> Written:
    """Write a log of about ``size`` bytes whose last second ends at ``end``.

    A name that ends with .gz is compressed; ``size`` is what it holds.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    sample = next(Traffic(start, per_second, seed).blocks(log_format, 1))
    seconds = max(1, size // len(sample))
    start = end - timedelta(seconds=seconds)
    written = 0
    with ExitStack() as stack:
        if path.suffix == ".gz":
            packed = stack.enter_context(gzip.open(path, "wb", compresslevel=1))
            file = cast("BinaryIO", packed)
        else:
            file = stack.enter_context(path.open("wb"))
        for block in Traffic(start, per_second, seed).blocks(log_format, seconds):
            written += file.write(block)
    os.utime(path, (end.timestamp(),) * 2)
    return Written(path, seconds * per_second, written, start, end)
