"""Leases, judged at a time: which instances are healthy, in service, or gone. Pure.

An instance is healthy while its lease runs (``renewed_at <= now < renewed_at + ttl``) and its
active check, where it has one, has not failed too often. One whose lease has been over for
``deregister_after`` is gone, whether upkeep has been there or not.

The floor of a service stands against mass expiry (a network that is cut off, a stuck registry):
where fewer instances are healthy than ``ceil(floor * all)``, the service is protected. None of its
instances is gone then, and the best of the unhealthy ones stay in service, up to the floor: those
whose lease runs, then those whose lease ended last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["healthy", "unhealthy", "gone"]


@dataclass(frozen=True)
class Lease:
    """What is known of an instance's life.

    Attributes:
        failed_checks: how many active checks in a row have failed.
        failures_allowed: unhealthy from so many on; None: it has no check.
    """

    id: str
    renewed_at: datetime
    ttl_s: int
    deregister_after_s: int
    failed_checks: int = 0
    failures_allowed: int | None = None

    @property
    def until(self) -> datetime:
        """The end of the lease, exclusive."""
        return self.renewed_at + timedelta(seconds=self.ttl_s)

    @property
    def forgotten_at(self) -> datetime:
        return self.until + timedelta(seconds=self.deregister_after_s)

    @property
    def check_fails(self) -> bool:
        return self.failures_allowed is not None and self.failed_checks >= self.failures_allowed

    def runs(self, now: datetime) -> bool:
        return now < self.until

    def is_healthy(self, now: datetime) -> bool:
        return self.runs(now) and not self.check_fails


@dataclass(frozen=True)
class Verdict:
    """What an instance is at a time.

    Attributes:
        in_service: gateways send it requests: it is healthy, or kept by the floor.
        reason: why it isn't healthy, for people; empty where it is.
    """

    state: State
    in_service: bool
    reason: str


HEALTHY = Verdict("healthy", True, "")


@dataclass(frozen=True)
class Judgement:
    """A service's instances at a time: verdicts by id, in the order given.

    Attributes:
        needed: how many instances the floor asks for.
        protected: fewer are healthy than that.
    """

    verdicts: dict[str, Verdict]
    needed: int
    healthy: int
    protected: bool


def judge(leases: Sequence[Lease], *, floor: float, now: datetime) -> Judgement:
    """Judge all instances of one service at ``now``. ``floor`` is a share from 0 to 1."""
    # rounded, so that 0.1 * 30 asks for 3 and not for 4
    needed = math.ceil(round(floor * len(leases), 9))
    healthy = [one for one in leases if one.is_healthy(now)]
    protected = len(healthy) < needed
    kept: set[str] = set()
    if protected:
        rest = sorted(
            (one for one in leases if not one.is_healthy(now)),
            key=lambda one: (not one.runs(now), -one.until.timestamp(), one.id),
        )
        kept = {one.id for one in rest[: needed - len(healthy)]}
    return Judgement(
        verdicts={
            one.id: _verdict(one, now, protected=protected, kept=one.id in kept) for one in leases
        },
        needed=needed,
        healthy=len(healthy),
        protected=protected,
    )


def _verdict(one: Lease, now: datetime, *, protected: bool, kept: bool) -> Verdict:
    if one.is_healthy(now):
        return HEALTHY
    if not protected and now >= one.forgotten_at:
        return Verdict("gone", False, f"no heartbeat since {one.renewed_at.isoformat()}")
    if one.runs(now):
        return Verdict("unhealthy", kept, f"{one.failed_checks} checks in a row failed")
    return Verdict("unhealthy", kept, f"its lease ended at {one.until.isoformat()}")
