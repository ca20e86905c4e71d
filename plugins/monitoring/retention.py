"""What the retention floor means for evaluations: those that look back past it are frozen.

An evaluation that depends on a minute before its family's floor can't be told from what is left.
What was found of it stays as it is, and one that was never made is not made any more: it stays
unknown. Evaluations of composites depend on other policies' states, which are kept, so they are
never frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring.duration import format_duration
from monitoring.policy.definition import MINUTE, Policy
from monitoring.policy.versions import Timeline, current_policies, read_timeline
from monitoring.window import Window
from userdb.errors import ConfigError, MonitoringError, WindowError
from userdb.retention import MINUTE_TABLES, TABLES, purge, read_floors
from userdb.store import Store
from userdb.times import from_minute

#: The most days that anything is kept, but for ever; the DAG's params have the same.
MAX_DAYS = 36_500
#: Families to their first minute that is still whole.
Floors = Mapping[str, int]


@dataclass(frozen=True)
class FrozenPart:
    """Evaluation times in (after, until] that ``policy`` rules, and which are frozen."""

    policy: Policy
    after: int
    until: int

    @property
    def evaluations(self) -> int:
        """How many evaluation times it has."""
        return self.until // self.policy.interval - self.after // self.policy.interval


def frozen_until(policy: Policy, floors: Floors) -> int | None:
    """The last evaluation time that looks back past the floor, in minutes; None without one."""
    floor = floors.get(policy.family_name)
    # the same measure as for minutes that change: see ``monitoring.evaluated.affected``
    return None if floor is None else floor + policy.reach_minutes


def frozen_parts(timeline: Timeline, floors: Floors, after: int, until: int) -> list[FrozenPart]:
    """The parts of (after, until] that are frozen, each under the version that rules it."""
    found = []
    for part in timeline.segments(after, until):
        policy = part.version.policy
        last = None if policy is None else frozen_until(policy, floors)
        if policy is not None and last is not None and part.after < last:
            found.append(FrozenPart(policy, part.after, min(part.until, last)))
    return found


def without(frozen: Iterable[FrozenPart], after: int, until: int) -> list[tuple[int, int]]:
    """What is left of (after, until] without the frozen parts, which ascend."""
    left = []
    for part in frozen:
        if after < part.after:
            left.append((after, part.after))
        after = max(after, part.until)
    if after < until:
        left.append((after, until))
    return left


def refuse_frozen(
    name: str, timeline: Timeline, floors: Floors, after: int, until: int, *, begin: int = 0
) -> None:
    """Refuse to evaluate the policy ``name`` in (after, until] where an evaluation is frozen.

    Args:
        begin: what the option --from means by a time: 0 for "after it", 1 for "at it".

    Raises:
        WindowError: one is; the text says from when on none is.
    """
    frozen = frozen_parts(timeline, floors, after, until)
    if not frozen:
        return
    first = frozen[0]
    if frozen[-1].until == until:
        # nothing up to the end works: from when on anything does
        ends = [frozen_until(policy, floors) for policy in timeline.policies]
        latest = max(until, *(end for end in ends if end is not None))
        frozen = frozen_parts(timeline, floors, after, latest)
    raise WindowError(
        f"policy {name} can't be evaluated again after {_text(first.after)}: it looks back "
        f"{format_duration(first.policy.reach_minutes * MINUTE)}, and {first.policy.family_name} "
        f"minutes before {_text(floors[first.policy.family_name])} were purged. The earliest "
        f"--from (window_start) that works is {_text(frozen[-1].until + begin)}"
    )


def refused_replays(
    store: Store, names: Sequence[str], window: Window, *, todays: bool
) -> dict[str, str]:
    """The policies that can't be replayed over ``window``, to why.

    Args:
        todays: the newest definitions rule the window, instead of those that were in force.

    Raises:
        WindowError: none of the policies over signals can be replayed.
    """
    refused: dict[str, str] = {}
    over_signals: set[str] = set()
    with store.read() as connection:
        floors = read_floors(connection)
        for name in names:
            timeline = read_timeline(connection, name)
            if todays:
                timeline = Timeline(timeline.versions[-1:])
            over_signals |= {name for policy in timeline.policies if policy.family_name}
            try:
                refuse_frozen(name, timeline, floors, window.first_minute, window.stop_minute)
            except WindowError as error:
                refused[name] = str(error)
    if refused and over_signals <= refused.keys():
        raise WindowError("; ".join(refused.values()))
    return refused


def parse_days(text: str) -> dict[str, int]:
    """Tables to the days that their rows are kept, of ``"request_log=3, container_sample=90"``.

    0 days: for ever.

    Raises:
        ConfigError: it isn't written like that, or a table has no retention.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        table, _, days = (one.strip() for one in part.partition("="))
        if (
            table not in TABLES
            or table in found
            or not days.isdecimal()
            or len(days) > len(str(MAX_DAYS))
            or int(days) > MAX_DAYS
        ):
            raise ConfigError(
                f"MONITORING_RETENTION_DAYS (table_days) has {part!r}; write table=days, once a "
                f"table, for example request_log=3; at most {MAX_DAYS} days, and 0 for ever; "
                f"tables with a retention: {', '.join(TABLES)}"
            )
        found[table] = int(days)
    return found


def purge_expired(
    store: Store, days: Mapping[str, int], *, now: datetime, late: timedelta
) -> tuple[dict[str, int], list[MonitoringError]]:
    """Delete what is older than ``days`` says; return how many rows, by table, and what failed.

    A table that can't be purged keeps no other from it.

    Args:
        days: tables to the days that their rows are kept; 0: for ever.
        late: how long after its time an evaluation may be made by a scheduled run.
    """
    deleted: dict[str, int] = {}
    errors: list[MonitoringError] = []
    for table, number in days.items():
        keep = timedelta(days=number)
        try:
            if not keep:
                continue
            if table in MINUTE_TABLES:
                deleted |= purge_minutes(store, keep=keep, now=now, late=late, tables=[table])
            else:
                deleted |= purge(store, before=now - keep, tables=[table])
        except MonitoringError as error:
            errors.append(error)
    return deleted, errors


def purge_minutes(
    store: Store,
    *,
    keep: timedelta,
    now: datetime,
    late: timedelta,
    tables: Iterable[str] = tuple(MINUTE_TABLES),
) -> dict[str, int]:
    """Delete what the analysis reads from before ``now`` - ``keep``; how many rows, by table.

    Args:
        late: how long after its time an evaluation may be made by a scheduled run.
        tables: of MINUTE_TABLES.

    Raises:
        ConfigError: a policy in force looks back further than that.
    """
    tables = tuple(tables)
    families = {MINUTE_TABLES[table] for table in tables}
    with store.read() as connection:
        policies = [
            one
            for one in current_policies(connection).values()
            if one is not None and one.family_name in families
        ]
    if policies:
        longest = max(policies, key=lambda one: one.reach_minutes)
        needed = longest.reach_minutes * MINUTE + late
        if keep < needed:
            raise ConfigError(
                f"rows of {', '.join(tables)} can't be deleted after {format_duration(keep)}: "
                f"policy {longest.name} looks back {format_duration(needed - late)}, and a run "
                f"after downtime {format_duration(late)} further; keep them for "
                f"{-(-needed // timedelta(days=1))} days at least (minute_days, table_days), or "
                "shorten the policy's window or memory"
            )
    return purge(store, before=now - keep, tables=tables)


def _text(minute: int) -> str:
    return f"{from_minute(minute):%Y-%m-%dT%H:%MZ}"
