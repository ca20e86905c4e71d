"""Images for an engine that can't pull any: stand-ins out of Debian packages, and our own.

The stand-ins have the names of the images that Compose and the Dockerfile ask for. Building needs
root, debootstrap, and a network that has Debian's and Python's packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.docker import DockerServer

ROOT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).resolve().parent / "standins"
BASE = "python:3.11-slim-bookworm"
OURS = "monitoring-chain"
GATEWAY = "traefik:v3.5"
#: Folder of a stand-in → the image in whose place it is.
IMAGES: Mapping[str, str] = {
    "userdb": "mysql:8.4",
    "metadata": "postgres:17",
    "redis": "redis:7.4",
    "docker-proxy": "haproxy:3.2",
    "gateway": GATEWAY,
    "prometheus": "prom/prometheus:v3.5.0",
}
_PACKAGES = "ca-certificates,python3,python3-dev,python3-pip,python3-venv"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def build_images(engine: DockerServer, scratch: Path) -> None:
    """Build all that aren't there, and ours in any case. The engine must be in the host's network.

    Args:
        scratch: an empty folder on a disk that has room for a small Debian.
    """
    there = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    if BASE not in there:
        _import_base(engine, scratch / "debian")
    for folder, image in IMAGES.items():
        if image not in there and image != GATEWAY:
            _build(engine, STANDINS / folder, image)
    _build(engine, ROOT, OURS)
    # it uses our code
    _build(engine, STANDINS / "gateway", GATEWAY)


def _import_base(engine: DockerServer, folder: Path) -> None:
    """Debian with Python where the official image has it."""
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(folder)],
        check=True,
        capture_output=True,
        timeout=900,
    )
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    if _CERTIFICATES.exists():
        # whom the host trusts, pip in a build has to trust too
        shutil.copyfile(_CERTIFICATES, folder / _CERTIFICATES.relative_to("/"))
    archive = folder.with_suffix(".tar")
    subprocess.run(
        [
            *("tar", "-C", str(folder), "--exclude=./var/cache/apt/archives/*.deb"),
            *("-cf", str(archive), "."),
        ],
        check=True,
    )
    try:
        engine.docker("import", str(archive), BASE, timeout_s=300)
    finally:
        archive.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def _build(engine: DockerServer, folder: Path, image: str) -> None:
    engine.docker(
        *("build", "--network", "host", "--tag", image, str(folder)),
        timeout_s=1800,
        # BuildKit would be a plug-in of the command, which Debian doesn't have
        environment={"DOCKER_BUILDKIT": "0", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
    )
