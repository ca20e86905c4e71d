"""One Podman for all tests of collectors; each test begins without containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.podman import PodmanServer, run_podman


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
