"""A Docker Engine of the tests' own: scratch folder, a network namespace of its own, no images.

Needs root. The engine's bridge is in the namespace, so the machine's own interfaces, routes and
firewall stay as they are; its socket is a file, which namespaces of networks don't part.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: An image of busybox alone.
IMAGE = "box:1"
_COMMANDS = ("cat", "dd", "echo", "false", "nc", "ping", "sh", "sleep", "tail", "true", "wget")


@dataclass(frozen=True)
class DockerServer:
    """A running engine. ``folder`` holds its data, socket and log."""

    folder: Path
    pid: int

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    def docker(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        timeout_s: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run the docker command against this engine and return its output.

        Raises:
            RuntimeError: it failed; holds what it said.
        """
        done = subprocess.run(
            ["docker", "--host", self.url, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            # neither contexts nor logins of whoever runs the tests
            env={"PATH": _path(), "HOME": str(self.folder), **(environment or {})},
        )
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def run(self, name: str, *command: str, options: Sequence[str] = ()) -> str:
        """Start a container in the background and return its id."""
        return self.docker("run", "--detach", "--name", name, *options, IMAGE, *command)

    def inspect(self, name: str) -> dict[str, Any]:
        answer: list[dict[str, Any]] = json.loads(self.docker("inspect", name))
        return answer[0]

    def remove_all(self) -> None:
        """Remove every container, running or not."""
        if ids := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", *ids)


@contextmanager
def run_docker() -> Iterator[DockerServer]:
    """Start an engine with the image ``IMAGE``; at the end its containers end with it."""
    busybox = shutil.which("busybox", path=_path())
    if busybox is None:
        raise RuntimeError("an engine needs: apt-get install docker.io busybox-static")
    with run_engine() as server:
        server.docker("import", "-", IMAGE, stdin=busybox_image(Path(busybox)))
        yield server


@contextmanager
def run_engine(data: Path | None = None, *, isolated: bool = True) -> Iterator[DockerServer]:
    """Start an engine; at the end its containers are removed and it ends.

    Args:
        data: where its images and volumes are, and stay; default: the scratch folder.
        isolated: in a network namespace of its own, where containers reach each other and nothing
            else. If not, it has no network of its own at all: for builds in the host's.
    """
    daemon = shutil.which("dockerd", path=_path())
    if daemon is None:
        raise RuntimeError("an engine needs: apt-get install docker.io")
    # not pytest's tmp_path: a socket's path may have 107 characters, containerd's is the longest
    folder = Path(tempfile.mkdtemp(prefix="docker-", dir="/tmp"))
    alone = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(alone if isolated else ()),
                daemon,
                f"--host=unix://{folder / 'docker.sock'}",
                f"--data-root={data or folder / 'data'}",
                f"--exec-root={folder / 'exec'}",
                f"--pidfile={folder / 'pid'}",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-masq=false",
                *(() if isolated else ("--bridge=none",)),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": _path()},
        )
        server = DockerServer(folder, process.pid)
        try:
            _wait(server, process)
            yield server
            server.remove_all()
        finally:
            _stop(process, folder)


def _path() -> str:
    # Debian has daemons in folders that only root's PATH names
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


def busybox_image(busybox: Path) -> bytes:
    """A tar archive of busybox and links to it: what an image without a registry is made of."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(busybox.resolve(), "bin/busybox")
        for command in _COMMANDS:
            link = tarfile.TarInfo(f"bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


def _wait(server: DockerServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.docker("version")
            return
        except RuntimeError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"dockerd did not start: {error}\n{log}") from None
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the daemon, which ends its containers and its containerd; then whatever is left."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in _started_by(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for point in mounts_below(folder):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _started_by(folder: Path) -> list[int]:
    """containerd and its shims: their command lines name a path in the scratch folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{folder}/".encode() in command:
                found.append(int(entry.name))
    return found


def mounts_below(folder: Path) -> list[str]:
    """Mount points below ``folder``, inner ones first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True)
