"""Routes: what gateway nodes measured, sent by them in batches."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from include.collectors.config import load_settings, settings_path
from include.collectors.nodes.push import Pushed, push_containers, push_requests
from include.collectors.nodes.tally import Tally
from include.collectors.nodes.wire import (
    Checked,
    ContainerRow,
    Covered,
    MinuteRow,
    NodeName,
    RequestRow,
)
from monitoring.api.access import requires
from monitoring.api.store import StoreDep

router = APIRouter(tags=["push"], dependencies=[Depends(requires("events:write"))])

_MOST = 1000


class Batch(BaseModel):
    """What all batches have."""

    model_config = ConfigDict(extra="forbid")

    node: NodeName = Field(description="Who measured", examples=["gw-1"])
    covered: Covered | None = Field(
        default=None,
        description="The minutes of which, with this batch, the node has said all there is. "
        "Without it, what is stored is known, and what isn't stored is not",
    )


class ContainerBatch(Batch):
    """Samples of containers."""

    containers: list[Checked[ContainerRow]] = Field(max_length=_MOST)


class RequestBatch(Batch):
    """Requests, one by one or counted by minute. A minute that is stated counts as stated, whole;
    raw rows of it are kept beside it and not counted again."""

    requests: list[Checked[RequestRow]] = Field(default_factory=list, max_length=_MOST)
    minutes: list[Checked[MinuteRow]] = Field(default_factory=list, max_length=_MOST)


class Rejected(BaseModel):
    """An item that was not taken."""

    index: int = Field(description="Its place in the list, from 0", examples=[3])
    id: str | None = Field(description="What it called itself", examples=["9f86d081884c7d65"])
    field: str = Field(examples=["occurred_at"])
    message: str = Field(examples=["2026-02-01T00:00:00+00:00 is more than 1d ago"])


class ListAnswer(BaseModel):
    """What became of a list: counts, and item by item."""

    stored: int = Field(examples=[1])
    repeated: int = Field(description="Stored before, and left as it was", examples=[1])
    rejected: list[Rejected]
    outcomes: list[Literal["stored", "repeated", "rejected"]] = Field(
        description="Of each item, in the list's order", examples=[["stored", "repeated"]]
    )

    @classmethod
    def of(cls, tally: Tally) -> Self:
        return cls(
            stored=tally.count("stored"),
            repeated=tally.count("repeated"),
            rejected=[Rejected(**vars(one)) for one in tally.rejected],
            outcomes=tally.outcomes,
        )


class BatchAnswer(BaseModel):
    """What all answers have."""

    covered: Covered | None = Field(description="What is now known to be covered by this node")
    covered_refused: str | None = Field(
        default=None, description="Why it isn't what the batch said"
    )


class ContainerAnswer(BatchAnswer):
    """What became of a batch of samples."""

    containers: ListAnswer


class RequestAnswer(BatchAnswer):
    """What became of a batch of requests."""

    requests: ListAnswer
    minutes: ListAnswer


@router.post("/container-status", summary="Samples of a node's containers")
def container_status(store: StoreDep, batch: ContainerBatch) -> ContainerAnswer:
    """Stores each sample once, however often it is sent. The first sample of a container and
    minute counts. One that can't be taken costs none of the others."""
    pushed = push_containers(
        store,
        batch.node,
        rows=batch.containers,
        covered=batch.covered,
        expected=_expected(batch),
        now=datetime.now(UTC),
    )
    return ContainerAnswer(
        containers=ListAnswer.of(pushed.tallies["containers"]),
        covered=_covered(pushed),
        covered_refused=pushed.refused,
    )


@router.post("/requests", summary="Requests that went through a node")
def requests(store: StoreDep, batch: RequestBatch) -> RequestAnswer:
    """Stores each raw row once, known by its id and time, and counts it in its minute; a minute
    that is stated again replaces what was stated. One that can't be taken costs none of the
    others."""
    pushed = push_requests(
        store,
        batch.node,
        rows=batch.requests,
        minutes=batch.minutes,
        covered=batch.covered,
        expected=_expected(batch),
        now=datetime.now(UTC),
    )
    return RequestAnswer(
        requests=ListAnswer.of(pushed.tallies["requests"]),
        minutes=ListAnswer.of(pushed.tallies["minutes"]),
        covered=_covered(pushed),
        covered_refused=pushed.refused,
    )


def _covered(pushed: Pushed) -> Covered | None:
    window = pushed.covered
    if window is None:
        return None
    return Covered.model_validate({"from": window.start, "to": window.end})


def _expected(batch: Batch) -> list[str]:
    """The nodes that must cover a minute, as the settings name them."""
    if batch.covered is None:
        return []
    path = settings_path()
    return _nodes(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _nodes(path: Path, _changed: int) -> list[str]:
    return load_settings(path).push.nodes
