"""How long a server is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.reporting.backoff import (
    FIRST_S,
    LONGEST_ASKED_S,
    LONGEST_S,
    Backoff,
    retry_after_s,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(failures=st.integers(1, 2000))
def test_waits_grow_to_a_bound_and_a_success_ends_them(failures):
    backoff = Backoff()
    for _ in range(failures):
        backoff.failed()
    longest = min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 20))
    assert longest / 2 - 0.5 < backoff.remaining_s() <= longest
    backoff.succeeded()
    assert backoff.remaining_s() == 0


@given(asked=st.floats(0, 1e9))
def test_a_server_is_given_the_time_it_asks_for_within_reason(asked):
    backoff = Backoff()
    backoff.failed(asked)
    assert backoff.asked
    least = min(LONGEST_ASKED_S, max(asked, FIRST_S / 2))
    assert least - 0.5 < backoff.remaining_s() <= min(LONGEST_ASKED_S, max(FIRST_S, asked * 1.1))


def test_processes_that_failed_together_dont_come_back_together():
    backoffs = [Backoff() for _ in range(50)]
    for one in backoffs:
        one.failed(10)
    waits = sorted(one.remaining_s() for one in backoffs)
    assert waits[-1] - waits[0] > 0.3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 999999999.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert retry_after_s(header, NOW) == seconds
