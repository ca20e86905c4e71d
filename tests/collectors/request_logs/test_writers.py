"""Whatever a gateway writes of a request is read again, column for column."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.collectors.request_logs.formats import FIELDS, FORMATS
from tests.collectors.request_logs.conftest import ParserOf
from tests.collectors.request_logs.parsing import parse
from tests.collectors.request_logs.samples import OPTIONS
from tests.collectors.request_logs.writers import WRITERS, Request, told

_NAME = "abcXYZ019._~"
_ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("::ffff:10.0.0.7")
)
_UPSTREAMS = st.one_of(
    st.just(""), st.ip_addresses(v=4).map(lambda ip: f"{ip}:8080"), st.just("[2001:db8::1]:80")
)


def _text(alphabet: str, largest: int = 20) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=largest)


#: What stands in headers; quotes are there, but nothing that looks like the next field.
_REQUESTS = st.builds(
    Request,
    at_us=st.integers(946_684_800_000_000, 2_000_000_000_000_000),
    client=_ADDRESSES,
    proxies=st.lists(_ADDRESSES, max_size=2).map(tuple),
    method=st.sampled_from(["GET", "POST", "DELETE", "PROPFIND"]),
    path=_text(_NAME + "%/é漢:@!$&'()*,;=\U0001f600").map(lambda text: "/" + text),
    query=st.one_of(st.just(""), _text(_NAME + "%/?&=é'").map(lambda text: "?" + text)),
    host=st.sampled_from(["gw", "gw.example.org:8443", "[::1]:80", "xn--bcher-kva.example"]),
    status=st.one_of(st.just(0), st.integers(100, 599), st.sampled_from([401, 408, 499, 504])),
    duration_us=st.one_of(st.just(-1000), st.integers(0, 10_000_000_000)),
    size=st.integers(0, 2**40),
    user=_text(_NAME + "@ é"),
    agent=_text(_NAME + " /;()'\"\\é漢,{}[]<>|"),
    request_id=_text(_NAME + "-"),
    service=_text(_NAME + "@|-"),
    route=_text(_NAME + "@-"),
    upstream=_UPSTREAMS,
    offset_min=st.sampled_from([0, 120, -210, 330]),
)


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_gateway_writes_is_read_again(name: str, shared_parser: ParserOf) -> None:
    write = WRITERS[name]
    parser = shared_parser(name, route={"template": False}, options=OPTIONS.get(name, {}))

    @settings(max_examples=6, deadline=None)
    @given(requests=st.lists(_REQUESTS, min_size=10, max_size=60))
    def check(requests: list[Request]) -> None:
        written = [write(request) for request in requests]
        parsed, rows = parse(parser, b"".join(line + b"\n" for line, _ in written))
        assert (parsed.rejected, len(rows)) == (0, len(written)), parsed.samples
        for row, (line, columns) in zip(rows, written, strict=True):
            expected = told(columns)
            names = {*FIELDS, "at_us", "outcome", "outcome_reason"} - {"occurred_at"}
            assert {name: row[name] for name in names} == pytest.approx(
                {name: expected.get(name) for name in names}, abs=1e-3
            ), line

    check()


def test_every_format_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMATS)
