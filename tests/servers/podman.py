"""A Podman service of the tests' own: scratch folder, a network namespace of its own, no images.

Needs root. Started by hand, without systemd; containers end with it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.docker import busybox_image, mounts_below

#: An image of busybox alone, by the name that Podman gives it.
IMAGE = "localhost/box:1"
_PAUSE = "localhost/pause:1"
#: Debian's defaults want more open files than a container that we run in may have.
_CONFIG = f"""\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
infra_image = "{_PAUSE}"
"""


@dataclass(frozen=True)
class PodmanServer:
    """A running service. ``folder`` holds its data, socket and log."""

    folder: Path

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'podman.sock'}"

    def podman(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run the podman command on the same data and return its output.

        Raises:
            RuntimeError: it failed; holds what it said.
        """
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env=self.environment,
        )
        if done.returncode:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def command(self, *arguments: str) -> list[str]:
        folder = self.folder
        return [
            "podman",
            *("--root", f"{folder}/root", "--runroot", f"{folder}/run"),
            *("--tmpdir", f"{folder}/tmp", "--storage-driver", "vfs"),
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        return {
            "PATH": path,
            "HOME": str(self.folder),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }

    def run(self, name: str, *command: str, options: Sequence[str] = ()) -> str:
        """Start a container in the background and return its id."""
        return self.podman(
            *("run", "--detach", "--network", "none", "--name", name), *options, IMAGE, *command
        )

    def play(self, manifest: str, *options: str) -> None:
        """`podman kube play` a manifest."""
        file = self.folder / "play.yaml"
        file.write_text(manifest)
        self.podman("kube", "play", "--network", "host", *options, str(file))

    def inspect(self, name: str) -> dict[str, Any]:
        answer: list[dict[str, Any]] = json.loads(self.podman("inspect", name))
        return answer[0]

    def remove_all(self) -> None:
        """Remove every pod and container, running or not."""
        self.podman("pod", "rm", "--all", "--force", "--time", "0")
        self.podman("rm", "--all", "--force", "--time", "0")


@contextmanager
def run_podman() -> Iterator[PodmanServer]:
    """Start a service with the image ``IMAGE``; at the end its containers end."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("podman's image needs: apt-get install busybox-static")
    image = busybox_image(Path(busybox))
    # not pytest's tmp_path: a socket's path may have 107 characters
    folder = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))
    (folder / "containers.conf").write_text(_CONFIG)
    server = PodmanServer(folder)
    with (folder / "log").open("wb") as log:
        server.podman("import", "--change", "ENV PATH=/bin", "-", IMAGE, stdin=image)
        server.podman(
            *("import", "--change", "ENV PATH=/bin", "--change", 'CMD ["sleep","infinity"]'),
            *("-", _PAUSE),
            stdin=image,
        )
        process = subprocess.Popen(
            [
                *("unshare", "--net", "--"),
                *server.command("system", "service", "--time", "0", server.url),
            ],
            stdout=log,
            stderr=log,
            env=server.environment,
            start_new_session=True,
        )
        try:
            _wait(server, process)
            yield server
        finally:
            server.remove_all()
            process.terminate()
            process.wait(30)
            for point in mounts_below(folder):
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


def _wait(server: PodmanServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
                probe.connect(server.url.removeprefix("unix://"))
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"podman's service did not start: {error}\n{log}") from None
            time.sleep(0.05)
