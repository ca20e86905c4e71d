"""The route table as it was: which routes were in force, from when until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from monitoring.audit import versions
from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import rank
from monitoring.routes.table import list_routes


@dataclass(frozen=True)
class RouteVersion:
    """A route as it was from ``begins`` (None: before the range) to ``ends`` (None: to this day),
    exclusive."""

    spec: RouteSpec
    begins: datetime | None
    ends: datetime | None


def routes_between(connection: Connection, start: datetime, end: datetime) -> list[RouteVersion]:
    """The enabled routes of [start, end), in the table's order: at any time, the first of those
    then in force that matches a request gets it."""
    current = {f"route/{one.id}": one.spec.model_dump() for one in list_routes(connection)}
    found = [
        # validated when it was written
        RouteVersion(RouteSpec.model_construct(**one.state), one.begins, one.ends)
        for one in versions(connection, "route", current, start, end)
    ]
    return sorted(
        (one for one in found if one.spec.enabled),
        key=lambda one: (rank(one.spec), one.begins is not None, one.begins),
    )
