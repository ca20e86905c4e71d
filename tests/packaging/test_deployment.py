"""What Compose starts: no default passwords, nothing open to the network, one log format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
_SECRET = re.compile(r"PASSWORD|SECRET|KEY")


def test_secrets_have_no_default_and_the_example_names_each_of_them() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = dict(re.findall(r"(?<!\$)\$\{(\w+)(:?[-?][^}]*)?\}", text))
    secrets = {name for name in variables if _SECRET.search(name)}
    assert len(secrets) == 8
    for name in secrets:
        assert variables[name].startswith(":?"), f"{name} must be demanded"
        assert EXAMPLE[name] == "", f"{name} must be empty in .env.example"
    assert set(variables) == set(EXAMPLE)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_published_ports_are_this_machines_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_only_the_scheduler_sees_the_docker_socket() -> None:
    sees = [n for n, s in SERVICES.items() if any("docker.sock" in v for v in s.get("volumes", []))]
    assert sees == ["scheduler"]


def test_the_gateway_writes_the_format_that_is_collected() -> None:
    template = (ROOT / "deploy" / "gateway.conf.template").read_text()
    assert " ".join(LOG_FORMAT.split()) in " ".join(template.split())


def test_the_image_gets_what_it_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    assert set(copied) - {"."} <= {name.removeprefix("!") for name in allowed}
    for name in allowed:
        if name.startswith("!"):
            assert (ROOT / name[1:]).exists(), f"{name} is named in .dockerignore"
