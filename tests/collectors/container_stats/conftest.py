"""One engine for all tests of containers; each test begins without containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.docker import DockerServer, run_docker


@pytest.fixture(scope="session")
def docker_server() -> Iterator[DockerServer]:
    """Needs the marker ``docker`` on the test."""
    with run_docker() as server:
        yield server


@pytest.fixture
def engine(docker_server: DockerServer) -> DockerServer:
    """The engine, empty. Needs the marker ``docker`` on the test."""
    docker_server.remove_all()
    return docker_server
