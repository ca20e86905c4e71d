"""Routes: silences and maintenance windows. The author is whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from monitoring.alerts.matchers import MatcherField
from monitoring.alerts.silence import Silence
from monitoring.alerts.silence import State as SilenceState
from monitoring.alerts.silences import (
    Place,
    add_silence,
    expire_silence,
    get_silence,
    read_silences,
)
from monitoring.alerts.time_intervals import TimeInterval
from monitoring.api.access import Principal, requires
from monitoring.api.page_links import PAGED, link_next, read_place
from monitoring.api.paging import Cursor
from monitoring.api.parameters import Instant, Limit
from monitoring.api.store import ConnectionDep, StoreDep
from monitoring.duration import Duration
from monitoring.pages import read_page

router = APIRouter(prefix="/silences", tags=["silences"])

Who = Annotated[Principal, Depends(requires("alerts:write"))]
SilenceId = Annotated[str, Path(max_length=64, description="its id")]
_LONGEST = timedelta(days=366)


def _bounded(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= _LONGEST:
        raise ValueError("must be more than 0s and at most 366d")
    return value


class SilenceView(BaseModel):
    """A silence, and whether it holds now."""

    id: str
    state: SilenceState = Field(description="`waiting` is between two times of a recurrence")
    matchers: list[MatcherField] = Field(description="all of which an alert must match")
    starts_at: datetime
    ends_at: datetime | None = Field(description="exclusive; null: until it is expired")
    recurrence: TimeInterval | None = Field(description="it holds only at these times")
    author: str = Field(examples=["user:alice"])
    comment: str
    created_at: datetime
    expired_at: datetime | None = Field(description="when somebody ended it early")
    expired_by: str | None

    @classmethod
    def of(cls, one: Silence, now: datetime) -> SilenceView:
        return cls(state=one.state(now), **{**vars(one), "matchers": list(one.matchers)})


class NewSilence(BaseModel):
    """Which alerts are silenced, when, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"matchers": ['service="sim-1"'], "duration": "2h", "comment": "new disks"},
                {
                    "matchers": ['service=~"sim-.*"', "severity!=critical"],
                    "comment": "backups",
                    "recurrence": {"times": [{"start_time": "02:00", "end_time": "03:30"}]},
                },
            ]
        },
    )

    matchers: Annotated[list[MatcherField], Field(min_length=1, max_length=50)] = Field(
        description="all of which an alert must match: = != =~ !~"
    )
    comment: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")] = Field(
        description="why"
    )
    starts_at: Instant | None = Field(default=None, description="default: now")
    ends_at: Instant | None = Field(
        default=None, description="exclusive; or give `duration`; none is needed where it recurs"
    )
    duration: Annotated[Duration, AfterValidator(_bounded)] | None = Field(
        default=None, description="how long from its start; in the place of `ends_at`"
    )
    recurrence: TimeInterval | None = Field(
        default=None, description="it holds only at these times: a maintenance window"
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.ends_at is not None and self.duration is not None:
            raise ValueError("give ends_at or duration, not both")
        return self


@router.get("", dependencies=[Depends(requires("read"))], responses=PAGED, summary="Silences")
def silences(
    request: Request,
    response: Response,
    connection: ConnectionDep,
    *,
    every: Annotated[bool, Query(alias="all", description="those that are over, too")] = False,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> list[SilenceView]:
    """Silences by start, with their state now."""
    now = datetime.now(UTC)
    since = None if every else now
    page = read_page(
        lambda after, most: read_silences(connection, since=since, after=after, limit=most),
        lambda one: Place(one.starts_at, one.id),
        after=read_place(cursor, Place),
        limit=limit,
    )
    link_next(request, response, page.rest)
    return [SilenceView.of(one, now) for one in page.rows]


@router.post("", status_code=201, summary="Silence alerts")
def silence(new: NewSilence, who: Who, store: StoreDep) -> SilenceView:
    """Tell nobody of alerts that match, for a time, or again and again."""
    now = datetime.now(UTC)
    starts_at = now if new.starts_at is None else new.starts_at
    made = add_silence(
        store,
        new.matchers,
        starts_at=starts_at,
        ends_at=new.ends_at if new.duration is None else starts_at + new.duration,
        author=who.name,
        comment=new.comment,
        now=now,
        recurrence=new.recurrence,
    )
    return SilenceView.of(made, now)


@router.delete("/{silence_id}", summary="End a silence")
def expire(silence_id: SilenceId, who: Who, store: StoreDep) -> SilenceView:
    """End a silence now: what still fires is told. One that is over stays as it is."""
    now = datetime.now(UTC)
    expire_silence(store, silence_id, author=who.name, now=now)
    with store.read() as connection:
        return SilenceView.of(get_silence(connection, silence_id), now)
