"""The middleware of WSGI, on wsgiref and on gunicorn with several processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import requests

from include.reporting import flush_events
from tests.include.conftest import ROOT
from tests.include.middleware import wsgi_app
from tests.include.middleware.secrets import BODY, HEADERS, QUERY, assert_no_secret, facts
from tests.include.middleware.wsgi_app import application, bare


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments):
        """Nothing."""

    def get_stderr(self):
        return open("/dev/null", "w")  # noqa: PTH123  # wsgiref prints tracebacks


@pytest.fixture
def serve(environment):
    servers = []

    def start(app):
        server = make_server("127.0.0.1", 0, app, _Server, _Quiet)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def post(base, path):
    try:
        answer = requests.post(f"{base}{path}?{QUERY}", BODY, headers=HEADERS, timeout=10)
    except requests.RequestException as error:
        return type(error)
    headers = {name: value for name, value in answer.headers.items() if name != "Date"}
    return answer.status_code, headers, answer.content


def reported(api):
    assert flush_events(10)
    assert_no_secret(api.events())
    return [facts(event) for event in api.events()]


def test_answers_are_the_same_with_and_without_it(api, serve):
    bare_base, base = serve(bare), serve(application)
    paths = ["/ok", "/forbidden", "/file", "/stream", "/broken-stream", "/boom", "/late"]
    assert [post(base, path) for path in paths] == [post(bare_base, path) for path in paths]
    assert post(base, "/ok")[2] == b"/ok 16"  # the body was the application's to read
    assert {event["service"] for event in api.events()} <= {"sim"}


@pytest.mark.parametrize(
    ("path", "kind", "level", "status"),
    [
        ("/boom", "exception", "error", None),
        ("/timeout", "timeout", "error", None),
        ("/broken-stream", "exception", "error", 200),
        ("/caught", "exception", "error", 500),
        ("/late", "timeout", "error", 504),
        ("/unauthorised", "auth_failure", "warning", 401),
        ("/forbidden", "auth_failure", "warning", 403),
    ],
)
def test_what_goes_wrong_is_reported_once(api, serve, path, kind, level, status):
    base = serve(application)
    post(base, "/ok")
    post(base, "/stream")
    post(base, path)
    time.sleep(0.05)  # an answer may come before its end is reported
    assert reported(api) == [(kind, level, status, "POST", path, None, None)]


def test_paths_and_users_are_text(api, serve):
    def app(environ, start_response):
        environ["REMOTE_USER"] = "ada"
        environ["PATH_INFO"] = "/late"
        return bare(environ, start_response)

    from include.middleware.wsgi import ReportingMiddleware

    requests.get(serve(ReportingMiddleware(app)) + "/仿真", timeout=10)
    ((*_, path, _route, user),) = reported(api)
    assert (path, user) == ("/仿真", "ada")


def test_every_process_of_a_prefork_server_reports(api, environment):
    options = ["--preload", "--workers", "3", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, f"{wsgi_app.__name__}:application"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Listening at" in line)
        base = line.split()[line.split().index("at:") + 1]
        with ThreadPoolExecutor(6) as pool:
            pids = list(pool.map(lambda _: requests.get(f"{base}/pid", timeout=30).text, range(60)))
        requests.get(f"{base}/boom", timeout=30)
        process.terminate()
        process.communicate(timeout=30)
    events = api.wait_for(61)
    told = [str(event["detail"]["pid"]) for event in events if "pid" in event["detail"]]
    assert sorted(told) == sorted(pids)
    assert len(set(pids)) > 1
    assert sum(one["repeated"] for one in api.requests()) == 0
