"""Routes: policies, with their versions, and what evaluating them found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from monitoring.api.access import requires
from monitoring.api.page_links import PAGED, link_next, read_place
from monitoring.api.paging import Cursor
from monitoring.api.parameters import Limit, Matchers, Since, Until, parse_matchers
from monitoring.api.store import ConnectionDep
from monitoring.evaluation_log import (
    EvaluatedRange,
    EvidenceRow,
    Place,
    list_evaluated,
    list_evidence,
)
from monitoring.policy.loader import Policies, load_policies
from monitoring.policy.standing import PolicyDetail, PolicyRow, get_policy, list_policies
from userdb.errors import InvalidRequestError, PolicyError

router = APIRouter(tags=["policies"], dependencies=[Depends(requires("read"))])

_DEFAULT_RANGE, _LONGEST_RANGE = timedelta(days=1), timedelta(days=31)
#: Intervals on a page with their values, of which each has up to 1,440.
_WITH_VALUES = 200

EvidenceClass = Literal["breach", "between", "missing", "unknown", "gone"]


class PolicyList(BaseModel):
    """Policies, and what is wrong with the files."""

    policies: list[PolicyRow] = Field(description="by name")
    errors: list[str] = Field(description="what is wrong with policy files, with file and line")


class Evaluations(BaseModel):
    """What was evaluated of a policy, and what was found."""

    policy: str
    evaluated: list[EvaluatedRange] = Field(description="within (from, to], joined")
    evidence: list[EvidenceRow] = Field(
        description="intervals that touch (from, to], by their begin; where a series has none it "
        "was clear, if it was evaluated"
    )


@router.get("/policies", summary="Policies")
def policies(connection: ConnectionDep) -> PolicyList:
    """What is in force, and what the files say as they are read now."""
    loaded = _loaded()
    return PolicyList(
        policies=list_policies(connection, loaded), errors=[str(one) for one in loaded.errors]
    )


@router.get("/policies/{name}", summary="One policy with its versions")
def policy(
    connection: ConnectionDep,
    name: Annotated[str, Path(max_length=128, examples=["request-timeouts"])],
) -> PolicyDetail:
    """A policy, with every definition that it has had."""
    return get_policy(connection, _loaded(), name)


@router.get("/evaluations", responses=PAGED, summary="What evaluating a policy found")
def evaluations(
    request: Request,
    response: Response,
    connection: ConnectionDep,
    policy: Annotated[str, Query(max_length=128, examples=["request-timeouts"])],
    *,
    since: Since = None,
    until: Until = None,
    match: Matchers = [],  # noqa: B006 - FastAPI copies it
    evaluation_class: Annotated[
        list[EvidenceClass] | None, Query(alias="class", description="only these; default: all")
    ] = None,
    values: Annotated[
        bool, Query(description=f"each evaluation's value, for up to {_WITH_VALUES} intervals")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> Evaluations:
    """Evidence of (from, to], default: the last 24 hours; at most 31 days.

    Series are matched by the labels that the policy groups by. What is unknown holds for all of
    them, and is told whatever `match` says.
    """
    end = datetime.now(UTC) if until is None else until
    begin = end - _DEFAULT_RANGE if since is None else since
    if not timedelta(0) < end - begin <= _LONGEST_RANGE:
        raise InvalidRequestError.of("from", "from must lie before to, and at most 31 days")
    page = list_evidence(
        connection,
        policy,
        begin,
        end,
        classes=evaluation_class or (),
        matchers=parse_matchers(match, "match"),
        with_values=values,
        after=read_place(cursor, Place),
        limit=min(limit, _WITH_VALUES) if values else limit,
    )
    link_next(request, response, page.rest)
    return Evaluations(
        policy=policy,
        evaluated=list_evaluated(connection, policy, begin, end),
        evidence=page.rows,
    )


def _loaded() -> Policies:
    try:
        return load_policies()
    except PolicyError as error:
        return Policies((), (error,), frozenset(), True)
