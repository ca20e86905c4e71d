"""The middleware of ASGI, around Starlette and FastAPI on uvicorn."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from contextlib import contextmanager

import pytest
import requests
import uvicorn
from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from include.middleware.asgi import ReportingMiddleware
from include.reporting import flush_events
from tests.include.middleware.secrets import BODY, HEADERS, QUERY, assert_no_secret, facts


class Basic(AuthenticationBackend):
    async def authenticate(self, conn):
        name = conn.headers.get("X-User")
        return (AuthCredentials(), SimpleUser(name)) if name else None


async def ok(request):
    return PlainTextResponse(f"ok {len(await request.body())}", headers={"X-Number": "7"})


async def boom(_request):
    raise LookupError("no such model")


async def late(_request):
    async with asyncio.timeout(0.01):
        await asyncio.sleep(10)


async def answer(request):
    return PlainTextResponse("x", request.path_params["status"])


async def stream(request):
    async def parts():
        yield b"first "
        if request.path_params["how"] == "broken":
            raise LookupError("in the middle")
        yield b"second"

    return StreamingResponse(parts())


async def socket(websocket):
    await websocket.accept()
    raise LookupError("in a socket")


def starlette_app() -> Starlette:
    routes = [
        Route("/ok", ok, methods=["POST"]),
        Route("/boom/{number}", boom, methods=["POST"]),
        Route("/late", late, methods=["POST"]),
        Route("/answer/{status:int}", answer, methods=["POST"]),
        Route("/stream/{how}", stream, methods=["POST"]),
        WebSocketRoute("/socket", socket),
    ]
    return Starlette(
        routes=[Mount("/sub", routes=routes), *routes],
        middleware=[Middleware(AuthenticationMiddleware, backend=Basic())],
    )


def fastapi_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(ReportingMiddleware)

    @app.post("/items/{number}")
    def item(number: int) -> None:
        raise HTTPException(403, "not yours") if number == 1 else LookupError("no such item")

    return app


@contextmanager
def serving(app):
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def base():
    with serving(ReportingMiddleware(starlette_app(), service="sim")) as url:
        yield url


def post(base, path, **headers):
    try:
        found = requests.post(
            f"{base}{path}?{QUERY}", BODY, headers={**HEADERS, **headers}, timeout=10
        )
    except requests.RequestException as error:
        return type(error)
    kept = {name: value for name, value in found.headers.items() if name != "date"}
    return found.status_code, kept, found.content


def reported(api):
    time.sleep(0.05)  # an answer may come before its end is reported
    assert flush_events(10)
    assert_no_secret(api.events())
    return [facts(event) for event in api.events()]


def test_answers_are_the_same_with_and_without_it(api, environment, base):
    paths = ["/ok", "/boom/1", "/answer/403", "/stream/whole", "/stream/broken", "/nowhere"]
    with serving(starlette_app()) as bare:
        assert [post(base, path) for path in paths] == [post(bare, path) for path in paths]
    assert post(base, "/ok")[2] == b"ok 16"


@pytest.mark.parametrize(
    ("path", "route", "kind", "status"),
    [
        ("/boom/7", "/boom/{number}", "exception", 500),
        ("/late", "/late", "timeout", 500),
        ("/stream/broken", "/stream/{how}", "exception", 200),
        ("/answer/500", "/answer/{status:int}", "exception", 500),
        ("/answer/504", "/answer/{status:int}", "timeout", 504),
        ("/answer/401", "/answer/{status:int}", "auth_failure", 401),
        ("/answer/403", "/answer/{status:int}", "auth_failure", 403),
    ],
)
def test_what_goes_wrong_is_reported_once(api, environment, base, path, route, kind, status):
    for fine in ("/ok", "/nowhere", "/answer/404"):
        post(base, fine)
    post(base, path)
    level = "warning" if kind == "auth_failure" else "error"
    assert reported(api) == [(kind, level, status, "POST", path, route, None)]
    assert api.events()[0]["service"] == "sim"


def test_the_user_is_named_where_it_is_known(api, environment, base):
    post(base, "/answer/403", **{"X-User": "ada"})
    assert [one[-1] for one in reported(api)] == ["ada"]


def test_fastapi_adds_it_as_any_middleware(api, environment):
    with serving(fastapi_app()) as url:
        assert [post(url, f"/items/{number}")[0] for number in (1, 2)] == [403, 500]
    assert [one[:-1] for one in reported(api)] == [
        ("auth_failure", "warning", 403, "POST", "/items/1", "/items/{number}"),
        ("exception", "error", None, "POST", "/items/2", "/items/{number}"),
    ]


def test_a_websocket_that_breaks_is_reported(api, environment, base):
    _handshake(base)
    (found,) = reported(api)
    assert found[:2] == ("exception", "error")
    assert found[4] == "/socket"


def _handshake(base):
    key = base64.b64encode(b"0" * 16).decode()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    assert requests.get(f"{base}/socket", headers=headers, timeout=10).status_code == 101
