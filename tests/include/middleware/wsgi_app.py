"""A WSGI application that fails in all the ways there are."""

from __future__ import annotations

import io
import os
import time

from include.gateway_client import report_gateway_exception
from include.middleware.wsgi import ReportingMiddleware

_PLAIN = [("Content-Type", "text/plain")]
_STATUS = {
    "/ok": "200 OK",
    "/unauthorised": "401 Unauthorized",
    "/forbidden": "403 Forbidden",
    "/late": "504 Gateway Timeout",
    "/caught": "500 Internal Server Error",
}


def bare(environ, start_response):
    path = environ["PATH_INFO"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    if path in _STATUS:
        start_response(_STATUS[path], _PLAIN)
        return [path.encode(), b" ", str(len(body)).encode()]
    if path == "/pid":
        report_gateway_exception("m", {"pid": os.getpid()})
        start_response("200 OK", _PLAIN)
        time.sleep(0.05)
        return [str(os.getpid()).encode()]
    if path == "/file":
        start_response("200 OK", _PLAIN)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"from a file"))
    if path == "/boom":
        raise LookupError("no such model")
    if path == "/timeout":
        raise TimeoutError("upstream")
    return _stream(environ, start_response)


def _stream(environ, start_response):
    start_response("200 OK", _PLAIN)
    yield b"first "
    if environ["PATH_INFO"] == "/broken-stream":
        raise LookupError("in the middle")
    yield b"second"


application = ReportingMiddleware(bare, service="sim")
