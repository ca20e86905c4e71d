"""One engine of each kind for all tests of containers; each test begins without containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.docker import DockerServer, run_docker
from tests.servers.podman import PodmanServer, run_podman


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


@pytest.fixture(scope="session")
def podman_server() -> Iterator[PodmanServer]:
    """Needs the marker ``podman`` on the test."""
    with run_podman() as server:
        yield server


@pytest.fixture
def podman(podman_server: PodmanServer) -> PodmanServer:
    """Podman's service, empty. Needs the marker ``podman`` on the test."""
    podman_server.remove_all()
    return podman_server
