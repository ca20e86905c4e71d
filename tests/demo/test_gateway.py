"""The built-in gateway logs what nginx logs."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest
import requests

from demo.gateway import log_template, render_line
from demo.platform import Platform
from demo.processes import LOOPBACK
from demo.routes import ADMIN, ROUTES, UPSTREAM_TIMEOUT_S, route_of
from demo.upstream import RESULTS_HANG, RUNS_FAIL
from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT


def _lines(platform: Platform, count: int) -> list[dict[str, str]]:
    """The log's lines, once there are ``count``: a line is written when its request has ended."""
    deadline = time.monotonic() + 10
    while True:
        lines = platform.log.read_text().splitlines() if platform.log.exists() else []
        if len(lines) >= count or time.monotonic() > deadline:
            return [json.loads(line) for line in lines]
        time.sleep(0.05)


def _give_up(platform: Platform, path: str) -> None:
    with socket.create_connection((LOOPBACK, platform.port), timeout=5) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        time.sleep(0.3)


def test_an_answer_of_a_service_is_passed_on_and_logged(platform: Platform) -> None:
    answer = requests.get(f"{platform.url}/files/41?v=2", timeout=10)

    (line,) = _lines(platform, 1)
    assert answer.status_code == 200
    assert answer.json()["file"] == "41"
    assert line["status"] == "200"
    assert line["request_method"] == "GET"
    assert line["request_uri"] == "/files/41?v=2"
    assert line["remote_addr"] == LOOPBACK
    assert line["upstream_addr"] == f"{LOOPBACK}:{platform.upstream_port}"
    assert int(line["body_bytes_sent"]) == len(answer.content)
    assert abs(float(line["time"]) - time.time()) < 10
    assert 0 <= float(line["request_time"]) < 5


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_protected_route_refuses_without_asking_the_service(
    platform: Platform, password: str | None
) -> None:
    account = None if password is None else (ADMIN[0], password)
    answer = requests.get(f"{platform.url}/admin/users", auth=account, timeout=10)

    (line,) = _lines(platform, 1)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert line["status"] == "401"
    assert line["upstream_addr"] == ""


def test_a_protected_route_lets_the_account_in(platform: Platform) -> None:
    answer = requests.get(f"{platform.url}/admin/users", auth=ADMIN, timeout=10)

    (line,) = _lines(platform, 1)
    assert answer.status_code == 200
    assert line["remote_user"] == ADMIN[0]


def test_a_service_that_takes_too_long_is_504(platform: Platform) -> None:
    platform.set_faults([RESULTS_HANG])
    answer = requests.get(f"{platform.url}/simulations/1/result", timeout=30)

    (line,) = _lines(platform, 1)
    assert answer.status_code == 504
    assert line["status"] == line["upstream_status"] == "504"
    assert UPSTREAM_TIMEOUT_S <= float(line["request_time"]) < UPSTREAM_TIMEOUT_S + 3


def test_a_client_that_gives_up_is_499(platform: Platform) -> None:
    platform.set_faults([RESULTS_HANG])
    _give_up(platform, "/simulations/1/result")

    (line,) = _lines(platform, 1)
    assert line["status"] == "499"
    assert line["body_bytes_sent"] == "0"
    assert float(line["request_time"]) < UPSTREAM_TIMEOUT_S


def test_a_service_that_fails_is_passed_on(platform: Platform) -> None:
    before = platform.reported()
    platform.set_faults([RUNS_FAIL])
    answer = requests.post(f"{platform.url}/simulations/", json={}, timeout=30)

    (line,) = _lines(platform, 1)
    assert answer.status_code == 500
    assert line["status"] == line["upstream_status"] == "500"
    assert platform.reported() == before + 1


def test_a_service_that_is_down_is_502(own_platform: Platform) -> None:
    next(child for child in own_platform.processes() if child.name == "services").stop()
    answer = requests.get(f"{own_platform.url}/files/41", timeout=10)

    (line,) = _lines(own_platform, 1)
    assert answer.status_code == 502
    assert line["status"] == "502"


def test_a_path_without_route_is_404(platform: Platform) -> None:
    assert requests.get(f"{platform.url}/nowhere", timeout=10).status_code == 404

    (line,) = _lines(platform, 1)
    assert line["status"] == "404"
    assert line["upstream_addr"] == ""


def _shape(line: dict[str, str]) -> dict[str, str]:
    """A log line without what differs from request to request and from gateway to gateway."""
    shape = dict(line)
    for name in ("time", "request_time", "upstream_response_time"):
        assert re.fullmatch(r"(\d+\.\d{3})?", line[name]), (name, line)
        shape[name] = "seconds" if line[name] else ""
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    shape["upstream_addr"] = "service" if line["upstream_addr"] else ""
    shape["request_id"] = "id"
    if not line["upstream_addr"]:
        shape["body_bytes_sent"] = "of its own page"
    if line["status"] in ("502", "504"):
        shape["body_bytes_sent"] = "of its own page"
    return shape


def _send_all_kinds(platform: Platform) -> None:
    agent = {"User-Agent": 'a "quoted" \\ agent'}
    requests.get(f"{platform.url}/files/41?a=b%20c", headers=agent, timeout=9)
    requests.get(f"{platform.url}/admin/users", auth=("eve", "x"), timeout=9)
    requests.get(f"{platform.url}/admin/users", auth=ADMIN, timeout=9)
    requests.get(f"{platform.url}/nowhere", timeout=9)
    requests.post(f"{platform.url}/sessions/", json={}, timeout=9)
    platform.set_faults([RESULTS_HANG])
    requests.get(f"{platform.url}/simulations/1/result", timeout=9)
    _give_up(platform, "/simulations/1/result")


@pytest.mark.nginx
def test_both_gateways_write_the_same_lines(tmp_path: Path, environment: dict[str, str]) -> None:
    written = []
    for name in ("nginx", "built-in"):
        folder = tmp_path / name
        folder.mkdir()
        with Platform(
            folder, env=environment, preferred_port=0, use_nginx=name == "nginx"
        ) as platform:
            _send_all_kinds(platform)
            written.append([_shape(line) for line in _lines(platform, 7)])

    assert len(written[0]) == 7
    assert written[0] == written[1]


def test_the_template_is_the_documented_format() -> None:
    keys = json.loads(log_template(LOG_FORMAT)).keys()

    assert {"time", "status", "request_time", "request_uri", "upstream_addr"} <= keys


def test_a_value_is_escaped_as_json() -> None:
    line = render_line('{"agent":"$agent","é":"${other}"}', {"agent": 'a"\\\n\x01ü', "other": ""})

    assert json.loads(line) == {"agent": 'a"\\\n\x01ü', "é": ""}


def test_every_route_leads_to_its_service() -> None:
    for route in ROUTES:
        assert route_of(f"{route.prefix}x") == route
    assert route_of("/") is None
