"""Time intervals: Alertmanager's ranges, time zones, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from monitoring.alerts.time_intervals import TimeInterval
from pydantic import ValidationError


def holds(text: str, at: str) -> bool:
    interval = TimeInterval.model_validate(yaml.safe_load(text))
    # what is stored and read again is the same
    assert TimeInterval.model_validate(interval.model_dump(mode="json")) == interval
    return interval.holds(datetime.fromisoformat(at).replace(tzinfo=UTC))


OFFICE = "{times: [{start_time: 09:00, end_time: 17:00}], weekdays: ['monday:friday']}"


@pytest.mark.parametrize(
    ("interval", "at", "is_in"),
    [
        # 2026-03-02 is a Monday; 17:00 without quotes is a number to YAML
        (OFFICE, "2026-03-02T09:00", True),
        (OFFICE, "2026-03-02T08:59:59", False),
        (OFFICE, "2026-03-02T16:59:59.999", True),
        (OFFICE, "2026-03-02T17:00", False),
        (OFFICE, "2026-03-06T10:00", True),
        (OFFICE, "2026-03-07T10:00", False),
        ("{times: [{start_time: '22:00', end_time: '24:00'}]}", "2026-03-02T23:59:59", True),
        ("{weekdays: [saturday, sunday]}", "2026-03-01T00:00", True),
        ("{weekdays: ['sunday:monday']}", "2026-03-03T00:00", False),
        ("{days_of_month: ['1:5']}", "2026-03-05T23:59", True),
        ("{days_of_month: ['1:5']}", "2026-03-06T00:00", False),
        ("{days_of_month: [-1]}", "2026-02-28T12:00", True),
        ("{days_of_month: ['-1']}", "2024-02-28T12:00", False),
        ("{days_of_month: ['-3:-1']}", "2024-02-27T12:00", True),
        ("{days_of_month: ['5:-5']}", "2026-02-24T12:00", True),
        ("{days_of_month: ['5:-5']}", "2026-02-25T12:00", False),
        ("{days_of_month: [31]}", "2026-04-30T12:00", False),
        ("{days_of_month: ['28:31']}", "2026-02-28T12:00", True),
        ("{months: ['june:august', 12]}", "2026-07-01T00:00", True),
        ("{months: ['june:august', 12]}", "2026-12-31T00:00", True),
        ("{months: ['june:august', 12]}", "2026-09-01T00:00", False),
        ("{years: ['2026:2027']}", "2027-12-31T23:59", True),
        ("{years: [2025]}", "2026-01-01T00:00", False),
        ("{}", "2026-01-01T00:00", True),
        # 09:00 in Berlin is 08:00 UTC in winter and 07:00 in summer
        (OFFICE[:-1] + ", location: Europe/Berlin}", "2026-03-02T08:00", True),
        (OFFICE[:-1] + ", location: Europe/Berlin}", "2026-03-02T07:59", False),
        (OFFICE[:-1] + ", location: Europe/Berlin}", "2026-07-01T07:00", True),
        # Monday in Shanghai begins on Sunday, 16:00 UTC
        ("{weekdays: [monday], location: Asia/Shanghai}", "2026-03-01T16:00", True),
        ("{weekdays: [monday], location: Asia/Shanghai}", "2026-03-01T15:59", False),
    ],
)
def test_an_interval_holds_at_its_times(interval, at, is_in):
    assert holds(interval, at) is is_in


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ("{times: [{start_time: '25:00', end_time: '26:00'}]}", "not a time of day"),
        ("{times: [{start_time: '9:00', end_time: '10:00'}]}", "not a time of day"),
        ("{times: [{start_time: '22:00', end_time: '06:00'}]}", "past midnight"),
        ("{weekdays: ['saturday:sunday']}", "begins on sunday"),
        ("{weekdays: ['friday:sunday']}", "begins on sunday"),
        ("{weekdays: [funday]}", "none of the weekdays"),
        ("{weekdays: [1]}", "none of the weekdays"),
        ("{days_of_month: [0]}", "none of the days"),
        ("{days_of_month: [32]}", "none of the days"),
        ("{days_of_month: ['-1:5']}", "ends before it begins"),
        ("{days_of_month: ['5:1']}", "ends before it begins"),
        ("{months: ['march:january']}", "ends before it begins"),
        ("{months: [13]}", "none of the months"),
        ("{location: Mars/Base}", "no time zone"),
        ("{location: ../../etc/passwd}", "no time zone"),
        ("{weekday: [monday]}", "Extra inputs"),
        ("{weekdays: {a: b}}", "must be a list"),
    ],
)
def test_what_is_no_interval_is_refused(interval, says):
    with pytest.raises(ValidationError, match=says):
        TimeInterval.model_validate(yaml.safe_load(interval))
