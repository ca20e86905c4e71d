"""Windows, and which one a run is for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.window import Window, last_complete_period, parse_time, resolve_window

from userdb.errors import NaiveDatetimeError, WindowError

T = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
FIVE = timedelta(minutes=5)


def resolve(**given_):
    arguments = {
        "params": {},
        "data_interval": (None, None),
        "logical_date": None,
        "run_after": None,
        "now": T + timedelta(days=1),
        "period": FIVE,
    }
    return resolve_window(**{**arguments, **given_})


def test_params_win_over_an_interval_over_the_logical_date():
    params = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T01:00:00+00:00"}
    interval = (T, T + FIVE)
    by_params = resolve(params=params, data_interval=interval, logical_date=T)
    assert by_params == Window(
        datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC)
    )
    assert resolve(data_interval=interval, logical_date=T - FIVE) == Window(T, T + FIVE)
    assert resolve(logical_date=T) == Window(T - FIVE, T)
    assert resolve(run_after=T + timedelta(minutes=3)) == Window(T - FIVE, T)


def test_an_empty_interval_is_no_interval():
    assert resolve(data_interval=(T, T), logical_date=T) == Window(T - FIVE, T)


@pytest.mark.parametrize("one", ["window_start", "window_end"])
def test_half_a_window_is_refused(one):
    with pytest.raises(WindowError, match="belong together"):
        resolve(params={one: "2026-03-01T00:00:00Z"}, logical_date=T)


def test_a_window_that_ends_after_now_is_refused():
    with pytest.raises(WindowError, match="ends after now"):
        resolve(data_interval=(T, T + FIVE), now=T + timedelta(minutes=4))
    resolve(data_interval=(T, T + FIVE), now=T + FIVE)


def test_a_run_without_any_date_is_refused():
    with pytest.raises(WindowError, match="no logical date"):
        resolve()


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [(T, T, "is empty"), (T + FIVE, T, "is empty"), (T + timedelta(seconds=1), T + FIVE, "whole")],
)
def test_a_window_that_is_none(start, end, says):
    with pytest.raises(WindowError, match=says):
        Window(start, end)


def test_naive_bounds_are_refused():
    with pytest.raises(NaiveDatetimeError, match="no time zone"):
        Window(T.replace(tzinfo=None), T + FIVE)
    with pytest.raises(WindowError, match="no time zone"):
        parse_time("2026-03-01T00:00", "--from")
    with pytest.raises(WindowError, match="is not a time"):
        parse_time("soon", "--from")


def test_windows_are_utc_whatever_zone_they_are_given_in():
    shanghai = timezone(timedelta(hours=8))
    assert Window(T.astimezone(shanghai), (T + FIVE).astimezone(shanghai)) == Window(T, T + FIVE)
    assert Window(T, T + FIVE).start.tzinfo is UTC


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([1, 5, 15, 60, 1440]),
)
def test_the_last_complete_period_is_aligned_over_and_the_newest(at, minutes):
    period = timedelta(minutes=minutes)
    window = last_complete_period(at, period)
    assert window.end - window.start == period
    assert window.end <= at < window.end + period
    assert window.first_minute % minutes == 0
