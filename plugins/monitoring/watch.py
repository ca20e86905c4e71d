"""What is wrong with the chain itself: told once when it begins, and once when it is over.

Where userdb can't be reached, that is what is wrong; of all else nothing is known then, and nothing
is told. What was told is remembered in a file, as userdb may be what fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, func, select
from sqlalchemy.exc import SQLAlchemyError

from monitoring.notify import watchdog
from monitoring.notify.payload import format_time
from monitoring.policy.versions import current_policies
from monitoring.signals import COLLECTORS
from monitoring.watch_memory import Memory
from userdb.errors import ConfigError, SchemaError, UserdbUnavailable
from userdb.migrate import require_current
from userdb.models import Collection, PolicyState
from userdb.store import Store, open_store
from userdb.times import from_minute

WHAT = "monitoring"
USERDB = "userdb"
#: Subjects that begin so are DAGs: their own runs tell of them.
RUN_OF = "run of "
_DEFAULT_OVERDUE_MINUTES = 20
_DEFAULT_FAILURES = 3
#: A collector that was not run for so long, while others were, has been switched off.
_IN_USE = timedelta(days=7)
#: Of each collector's windows, the newest: so much before its last one.
_LOOKED_AT = timedelta(days=1)


@dataclass(frozen=True)
class Limits:
    """What is too late, and what is too often.

    Attributes:
        overdue: the newest complete collection may have ended so long ago.
        failures: so many windows of a collector in a row may not fail.
    """

    overdue: timedelta = timedelta(minutes=_DEFAULT_OVERDUE_MINUTES)
    failures: int = _DEFAULT_FAILURES

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Limits:
        """From ``MONITORING_WATCHDOG_OVERDUE_MINUTES`` and ``MONITORING_WATCHDOG_FAILURES``.

        Raises:
            ConfigError: one of them is no whole number above 0.
        """
        env = os.environ if environ is None else environ
        minutes = _whole(env, "MONITORING_WATCHDOG_OVERDUE_MINUTES", _DEFAULT_OVERDUE_MINUTES)
        return cls(
            timedelta(minutes=minutes),
            _whole(env, "MONITORING_WATCHDOG_FAILURES", _DEFAULT_FAILURES),
        )


@dataclass(frozen=True)
class Watch:
    """What came of a look at the chain: subject → what is wrong with it.

    ``begun`` is wrong since this look, ``over`` is wrong no more; what of these is ``untold``
    could not be told, and is news again next time.
    """

    problems: Mapping[str, str]
    begun: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


def watch(memory: Memory, *, now: datetime, limits: Limits, tells: bool = True) -> Watch:
    """Look at the chain, and tell the watchdog what is news; opens userdb itself.

    Args:
        tells: whether to tell anybody; without, nothing is remembered either.

    Raises:
        ConfigError: userdb's URL is not valid, or the memory can't be written.
    """

    try:
        problems = _look(now, limits)
        is_known = True
    except (UserdbUnavailable, SchemaError, SQLAlchemyError) as error:
        problems = {USERDB: str(error).partition("\n")[0]}
        is_known = False

    def about(subject: str) -> bool:
        return subject == USERDB or (is_known and not subject.startswith(RUN_OF))

    return tell_news(memory, problems, about, now=now) if tells else Watch(problems)


def _look(now: datetime, limits: Limits) -> dict[str, str]:
    store = open_store()
    try:
        require_current(store)
        return find_problems(store, now=now, limits=limits)
    finally:
        store.close()


def tell_news(
    memory: Memory, problems: Mapping[str, str], about: Callable[[str], bool], *, now: datetime
) -> Watch:
    """Tell what of ``problems`` was not told yet, and what was told and is over.

    Args:
        about: which subjects ``problems`` is about: one of these that is not in it is over.
    """
    with memory.opened() as told:
        begun = {subject: why for subject, why in problems.items() if subject not in told}
        over = {
            subject: f"is over; it was: {why}"
            for subject, why in told.items()
            if about(subject) and subject not in problems
        }
        untold: list[str] = []
        if begun:
            if watchdog.tell(what=WHAT, status="firing", reasons=begun, now=now):
                told.update(begun)
            else:
                untold += begun
        if over:
            if watchdog.tell(what=WHAT, status="resolved", reasons=over, now=now):
                for subject in over:
                    del told[subject]
            else:
                untold += over
    return Watch(problems, tuple(begun), tuple(over), tuple(untold))


def find_problems(store: Store, *, now: datetime, limits: Limits) -> dict[str, str]:
    """Subject → what is wrong with it: stale policies; collectors that fail, or are overdue."""
    with store.read() as connection:
        collectors = {name: _attempts(connection, name, now) for name in COLLECTORS}
        policies = _stale_policies(connection, now)
    problems = {}
    newest = max((some[0].end for some in collectors.values() if some), default=now)
    for name, attempts in collectors.items():
        recent = [one for one in attempts if one.end > newest - _IN_USE]
        wrong = _failing(recent, limits) or _overdue(recent, now, limits)
        if wrong:
            problems[f"collector {name}"] = wrong
    return problems | policies


@dataclass(frozen=True)
class _Attempt:
    """An attempt at a window that ended at ``end``."""

    number: int
    end: datetime
    is_complete: bool
    has_failed: bool


def _attempts(connection: Connection, collector: str, now: datetime) -> list[_Attempt]:
    """The attempts at the windows of a collector's last days, newest window first."""
    last = connection.scalar(
        select(func.max(Collection.window_end)).where(Collection.collector == collector)
    )
    if last is None:
        return []
    rows = connection.execute(
        select(
            func.max(Collection.id).label("number"),
            func.max(Collection.window_end).label("end"),
            # a source may have several rows: others awaited it, or it was tried again
            (
                func.count(func.distinct(case((Collection.status == "ok", Collection.source))))
                == func.count(func.distinct(Collection.source))
            ).label("complete"),
            func.max(case((Collection.status == "failed", 1), else_=0)).label("failed"),
        )
        .where(Collection.collector == collector, Collection.window_end > last - _LOOKED_AT)
        .group_by(Collection.attempt)
    )
    found = [_Attempt(row.number, row.end, bool(row.complete), bool(row.failed)) for row in rows]
    return sorted(found, key=lambda one: (one.end, one.number), reverse=True)


def _failing(attempts: Sequence[_Attempt], limits: Limits) -> str | None:
    """Whether the newest windows failed, each of them in all attempts at it."""
    complete = {one.end for one in attempts if one.is_complete}
    tried = [one for one in attempts if one.is_complete or one.has_failed]
    failed = []
    for end in dict.fromkeys(one.end for one in tried):
        if end in complete:
            break
        failed.append(end)
    if len(failed) < limits.failures:
        return None
    return (
        f"failed for {len(failed)} windows in a row, the first of which ended at "
        f"{format_time(failed[-1])}; `monitoring status` says why"
    )


def _overdue(attempts: Sequence[_Attempt], now: datetime, limits: Limits) -> str | None:
    if not attempts:
        return None  # it is not in use
    complete = next((one.end for one in attempts if one.is_complete), None)
    if complete is not None and now - complete <= limits.overdue:
        return None
    since = "no window" if complete is None else f"no window after {format_time(complete)}"
    return f"is overdue: {since} was collected completely"


def _stale_policies(connection: Connection, now: datetime) -> dict[str, str]:
    definitions = current_policies(connection)
    found = {}
    states = select(PolicyState.policy, PolicyState.watermark).order_by(PolicyState.policy)
    for name, minute in connection.execute(states):
        definition = definitions.get(name)
        if definition is None:
            continue  # removed
        at = None if minute is None else from_minute(minute)
        if at is None or now - at > definition.present_for:
            until = "never" if at is None else f"until {format_time(at)}"
            found[f"policy {name}"] = f"its state is stale: it was evaluated {until}"
    return found


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigError(f"{name} is {text!r}; it must be a whole number above 0")
    return int(text)
