"""Request bodies: unpacked, and never larger than stated."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import brotli
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from monitoring.api import problems
from monitoring.api.body import BodyLimit

LIMIT = 1000


def make_client() -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(BodyLimit, max_bytes=LIMIT)

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, object]:
        body = await request.body()
        return {
            "size": len(body),
            "hex": body.hex(),
            "encoding": "content-encoding" in request.headers,
        }

    return TestClient(app, raise_server_exceptions=False)


CLIENT = make_client()
GZIP = {"Content-Encoding": "gzip"}


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


BROTLI = {"Content-Encoding": "br"}


@given(st.binary(max_size=LIMIT), st.integers(1, 60), st.integers(0, 11))
def test_brotli_arrives_as_it_was_whatever_its_chunks(body: bytes, size: int, level: int) -> None:
    packed = brotli.compress(body, quality=level)
    answer = CLIENT.post("/echo", content=in_chunks(packed, size), headers=BROTLI).json()
    assert answer == {"size": len(body), "hex": body.hex(), "encoding": False}


@given(st.binary(max_size=LIMIT), st.integers(1, 60), st.integers(0, 9))
def test_gzip_arrives_as_it_was_whatever_its_chunks(body: bytes, size: int, level: int) -> None:
    middle = len(body) // 2
    packed = gzip.compress(body[:middle], level) + gzip.compress(body[middle:], level)
    answer = CLIENT.post("/echo", content=in_chunks(packed, size), headers=GZIP).json()
    assert answer == {"size": len(body), "hex": body.hex(), "encoding": False}


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (100 * LIMIT, 413)])
@pytest.mark.parametrize("encoding", ["gzip", "br", None])
def test_a_body_over_the_limit_is_refused(
    size: int, status: int, chunked: bool, encoding: str | None
) -> None:
    body = bytes(size)
    sent = body
    if encoding is not None:
        sent = (gzip if encoding == "gzip" else brotli).compress(body)
    response = CLIENT.post(
        "/echo",
        content=in_chunks(sent, 7) if chunked else sent,
        headers={"Content-Encoding": encoding} if encoding else {},
    )
    assert response.status_code == status
    if status == 413:
        assert "1,000 bytes" in response.json()["detail"]


def test_a_small_body_that_unpacks_to_very_much_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024))
    while len(bomb) > LIMIT:  # a bomb in a bomb is small enough to be let in
        bomb = gzip.compress(bomb)
    assert CLIENT.post("/echo", content=bomb, headers=GZIP).status_code in (200, 413)
    bomb = brotli.compress(bytes(200 * 1024 * 1024), quality=5)
    assert len(bomb) < LIMIT
    assert CLIENT.post("/echo", content=bomb, headers=BROTLI).status_code == 413
    assert (
        CLIENT.post("/echo", content=gzip.compress(bytes(900_000)), headers=GZIP).status_code == 413
    )


@pytest.mark.parametrize(
    ("headers", "body", "word"),
    [
        (GZIP, b"not gzip", "is not gzip"),
        (GZIP, gzip.compress(b"x" * 50, mtime=0)[:-5], "ends in its middle"),
        (BROTLI, b"not brotli", "is not br"),
        (BROTLI, brotli.compress(b"xyz" * 50)[:-3], "ends in its middle"),
    ],
)
def test_what_is_not_packed_as_it_says_is_refused(
    headers: dict[str, str], body: bytes, word: str
) -> None:
    response = CLIENT.post("/echo", content=body, headers=headers)
    assert response.status_code == 400
    assert word in response.json()["detail"]


def test_other_encodings_are_refused_by_name() -> None:
    response = CLIENT.post("/echo", content=b"x", headers={"Content-Encoding": "zstd"})
    assert response.status_code == 415
    assert "zstd" in response.json()["detail"]
