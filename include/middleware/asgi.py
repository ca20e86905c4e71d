"""ASGI: Starlette, FastAPI, Quart, Django's asgi.py, or any other application.

app = ReportingMiddleware(app)                  # around any application
app.add_middleware(ReportingMiddleware)         # Starlette, FastAPI
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from include.middleware.request import Request, RequestReporter

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SOURCE = "asgi_middleware"


class ReportingMiddleware:
    """Reports exceptions, timeouts (504) and refused access (401, 403) of HTTP and websockets."""

    def __init__(self, app: App, *, service: str | None = None) -> None:
        self.app = app
        self._reporter = RequestReporter(SOURCE, service=service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self._reporter.start()
        request = Request(str(scope.get("method", "WEBSOCKET")), str(scope.get("path", "")))

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                request.status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            _learn(request, scope)
            self._reporter.failed(request, error)
            raise
        _learn(request, scope)
        self._reporter.answered(request)


def _learn(request: Request, scope: Scope) -> None:
    """What routing and authentication have put into the scope meanwhile."""
    try:
        route = getattr(scope.get("route"), "path", None)
        request.route = str(route) if route is not None else None
        user = scope.get("user")
        if getattr(user, "is_authenticated", False):
            request.user = str(getattr(user, "display_name", None) or user)
    except Exception:
        return  # Starlette's BaseUser raises where a class doesn't define a name
