"""Errors as RFC 9457 problem documents (application/problem+json)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from userdb.errors import (
    AlertError,
    ConflictError,
    InvalidRequestError,
    MonitoringError,
    NotFoundError,
    PreconditionError,
    SchemaError,
    TokenError,
    UserdbUnavailable,
)

log = logging.getLogger(__name__)

#: The first that fits counts; all else of ours is 500.
_STATUSES: tuple[tuple[type[MonitoringError], int], ...] = (
    (UserdbUnavailable, 503),
    (SchemaError, 503),
    (TokenError, 403),
    (NotFoundError, 404),
    (AlertError, 409),
    (ConflictError, 409),
    (InvalidRequestError, 422),
    (PreconditionError, 412),
)


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(examples=["query.limit"])
    message: str = Field(examples=["Input should be less than or equal to 5000"])


class Problem(BaseModel):
    """A problem document; its type is told apart by status alone."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["query.limit: Input should be less than or equal to 5000"])
    #: of invalid requests: all that is wrong, at once
    errors: list[FieldProblem] | None = None


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem(status: int, detail: str, **members: Any) -> ProblemResponse:
    """A problem response with the status' own title."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return ProblemResponse(body, status_code=status)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> ProblemResponse:
        response = problem(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> ProblemResponse:
        errors = [
            {"field": _field(issue["loc"]), "message": issue["msg"]} for issue in error.errors()
        ]
        detail = "; ".join(f"{issue['field']}: {issue['message']}" for issue in errors)
        return problem(422, detail, errors=errors)

    @app.exception_handler(MonitoringError)
    async def _ours(_request: Request, error: MonitoringError) -> ProblemResponse:
        found = (status for kind, status in _STATUSES if isinstance(error, kind))
        members: dict[str, Any] = {}
        if isinstance(error, ConflictError):
            members = error.members
        elif isinstance(error, InvalidRequestError) and error.errors:
            members = {"errors": list(error.errors)}
        return problem(next(found, 500), str(error), **members)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "an unexpected error; the API server's log has it in full")


def _field(location: Sequence[Any]) -> str:
    return ".".join(str(part) for part in location[1:]) or str(location[0])
