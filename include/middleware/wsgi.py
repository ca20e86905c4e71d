"""WSGI: Flask, Pyramid, Django's wsgi.py, or any other application.

application = ReportingMiddleware(application)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from include.middleware.request import Request, RequestReporter

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

SOURCE = "wsgi_middleware"


class ReportingMiddleware:
    """Reports exceptions, timeouts (504) and refused access (401, 403).

    Frameworks make an answer 500 of exceptions themselves; it is reported as such. What they log
    has the exception: see ``include.gateway_client.GatewayExceptionHandler``.
    """

    def __init__(self, app: App, *, service: str | None = None) -> None:
        self.app = app
        self._reporter = RequestReporter(SOURCE, service=service)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._reporter.start()
        request = Request(
            str(environ.get("REQUEST_METHOD", "")),
            _text(f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"),
        )

        def watched(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            request.status = int(status[:3]) if status[:3].isdigit() else None
            return start_response(status, headers, *rest)

        try:
            body = self.app(environ, watched)
        except Exception as error:
            _learn(request, environ)
            self._reporter.failed(request, error)
            raise
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (
            isinstance(file_wrapper, type) and isinstance(body, file_wrapper)
        ):
            # nothing of the application's runs any more; servers do better with these unwrapped
            _learn(request, environ)
            self._reporter.answered(request)
            return body
        return _Body(body, request, environ, self._reporter)


class _Body:
    """The parts of an answer as the application yields them; reports at the end."""

    def __init__(
        self, body: Iterable[bytes], request: Request, environ: Environ, reporter: RequestReporter
    ) -> None:
        self._body = body
        self._request = request
        self._environ = environ
        self._reporter = reporter
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as error:
            self._end(error)
            raise

    def close(self) -> None:
        """What servers call at the end, also where they stopped in the middle."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except Exception as error:
            self._end(error)
            raise
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        _learn(self._request, self._environ)
        if error is None:
            self._reporter.answered(self._request)
        else:
            self._reporter.failed(self._request, error)


def _learn(request: Request, environ: Environ) -> None:
    user = environ.get("REMOTE_USER")
    request.user = _text(str(user)) if user else None


def _text(native: str) -> str:
    """WSGI's strings are bytes in disguise: Latin-1 that is mostly UTF-8."""
    try:
        return native.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return native
