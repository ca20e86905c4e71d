"""Leases: exact to the second, and never an empty service by expiry."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.registry.lease import Lease, judge

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
#: what stays in service beside the lease that a test looks at
OTHERS = [Lease(f"other-{number}", T0 + timedelta(hours=1), 30, 60) for number in range(3)]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "state", "in_service"),
    [
        (0, "healthy", True),
        (29.999999, "healthy", True),
        (30, "unhealthy", False),
        (89.999999, "unhealthy", False),
        (90, "gone", False),
    ],
)
def test_a_lease_ends_when_it_says_to_the_microsecond(
    seconds: float, state: str, in_service: bool
) -> None:
    judged = judge([Lease("a", T0, 30, 60), *OTHERS], floor=0.5, now=at(seconds))
    verdict = judged.verdicts["a"]
    assert (verdict.state, verdict.in_service) == (state, in_service)


def test_checks_that_fail_too_often_take_an_instance_out_while_its_lease_runs() -> None:
    for failed, state in ((1, "healthy"), (2, "unhealthy")):
        lease = Lease("a", T0, 30, 60, failed_checks=failed, failures_allowed=2)
        judged = judge([lease, *OTHERS], floor=0.5, now=at(1))
        assert judged.verdicts["a"].state == state


def test_mass_expiry_keeps_the_floor_in_service_and_forgets_nobody() -> None:
    leases = [Lease(f"i-{number}", at(number), 30, 60) for number in range(10)]
    judged = judge(leases, floor=0.3, now=at(100_000))
    assert judged.protected
    assert {name for name, one in judged.verdicts.items() if one.in_service} == {
        *("i-7", "i-8", "i-9")
    }
    assert {one.state for one in judged.verdicts.values()} == {"unhealthy"}


def test_without_a_floor_a_service_may_become_empty() -> None:
    judged = judge([Lease("a", T0, 30, 60)], floor=0, now=at(90))
    assert (judged.verdicts["a"].state, judged.protected) == ("gone", False)


leases = st.lists(
    st.builds(
        Lease,
        id=st.uuids().map(str),
        renewed_at=st.integers(-200, 0).map(at),
        ttl_s=st.integers(1, 100),
        deregister_after_s=st.integers(1, 100),
        failed_checks=st.integers(0, 3),
        failures_allowed=st.none() | st.integers(1, 3),
    ),
    max_size=12,
)


@given(leases, st.floats(0, 1), st.integers(0, 400).map(at))
def test_every_healthy_instance_and_never_fewer_than_the_floor_are_in_service(
    given_leases: list[Lease], floor: float, now: datetime
) -> None:
    judged = judge(given_leases, floor=floor, now=now)
    serving = {name for name, one in judged.verdicts.items() if one.in_service}
    healthy = {one.id for one in given_leases if one.is_healthy(now)}
    assert healthy <= serving
    assert len(serving) == max(len(healthy), judged.needed)
    assert judged.needed <= math.ceil(floor * len(given_leases))
    if floor > 0.001 and given_leases:
        assert serving
    if judged.protected:
        assert not any(one.state == "gone" for one in judged.verdicts.values())


@given(leases, st.floats(0, 1), st.randoms())
def test_the_verdict_does_not_depend_on_the_order_of_rows(
    given_leases: list[Lease], floor: float, random: object
) -> None:
    shuffled = list(given_leases)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    now = at(50)
    assert judge(given_leases, floor=floor, now=now).verdicts == (
        judge(shuffled, floor=floor, now=now).verdicts
    )
