"""Django, sync and async: ``include.middleware.django.ReportingMiddleware`` in MIDDLEWARE."""

from __future__ import annotations

import sys
from inspect import iscoroutinefunction
from typing import Any

from include.middleware.request import Request, RequestReporter

SOURCE = "django_middleware"
#: Where a request keeps what is known of it, and the PermissionDenied that a view raised.
_FACTS = "_monitoring_facts"
_DENIED = "_monitoring_denied"


class ReportingMiddleware:
    """Reports exceptions that nobody handled, timeouts (504) and refused access (401, 403).

    Unhandled exceptions are those of Django's signal ``got_request_exception``: of views and of
    other middlewares, wherever this one stands.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import markcoroutinefunction
        from django.core.signals import got_request_exception

        self._get_response = get_response
        self._reporter = RequestReporter(SOURCE)
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        # Django holds it weakly: it ends with this middleware
        got_request_exception.connect(self._on_exception)

    def __call__(self, request: Any) -> Any:
        self._begin(request)
        if self._async:
            return self._answer_later(request)
        return self._end(request, self._get_response(request))

    async def _answer_later(self, request: Any) -> Any:
        return self._end(request, await self._get_response(request))

    def process_exception(self, request: Any, error: Exception) -> None:
        """Remember what Django makes an answer 403 of; all others come by the signal."""
        from django.core.exceptions import PermissionDenied

        if isinstance(error, PermissionDenied):
            setattr(request, _DENIED, error)

    def _begin(self, request: Any) -> None:
        self._reporter.start()
        setattr(request, _FACTS, Request(str(request.method), str(request.path)))

    def _end(self, request: Any, response: Any) -> Any:
        facts: Request | None = getattr(request, _FACTS)
        if facts is not None:
            _learn(facts, request)
            facts.status = response.status_code
            denied = getattr(request, _DENIED, None)
            if denied is not None and facts.status in (401, 403):
                self._reporter.failed(facts, denied, denied=True)
            else:
                self._reporter.answered(facts)
        return response

    def _on_exception(self, sender: object, **given: Any) -> None:
        request, error = given.get("request"), sys.exception()
        facts: Request | None = getattr(request, _FACTS, None)
        if facts is None or error is None:
            return
        _learn(facts, request)
        facts.status = 500
        self._reporter.failed(facts, error)
        # the answer 500 that Django makes of it is not reported too
        setattr(request, _FACTS, None)


def _learn(facts: Request, request: Any) -> None:
    match = getattr(request, "resolver_match", None)
    facts.route = getattr(match, "route", None)
    # request.user would ask the database, and mark the session as read
    user = getattr(request, "_cached_user", None)
    if user is not None and user.is_authenticated:
        facts.user = str(user.get_username())
