"""Real containers for the chain to watch: one that is well, one that can be made to crash."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
BUSYBOX = Path("/bin/busybox")
_LABEL = "monitoring.demo"
#: A crash after more than 10 s of running: the engine then restarts at once. After shorter runs
#: it waits longer and longer, up to a minute, and the container would not be back in time.
RUN_S = 11
_LOOP = (
    'i=0; while :; do if [ "$(cat /mode)" = crash ] && [ $i -ge %d ]; then exit 1; fi; '
    "i=$((i+1)); sleep 1; done"
)


class NoRuntime(Exception):
    """There is no way to run containers here; the text says why."""


def engine_url() -> str:
    """Where the Docker Engine should be: DOCKER_HOST, else the default socket."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET


class Containers:
    """Two containers on a Docker Engine, named with a prefix of their own.

    Attributes:
        prefix: both names begin with it.
        healthy: name of the one that stays well.
        fragile: name of the one that ``crash`` makes restart again and again.
        engine: what runs them.
    """

    def __init__(
        self, url: str | None = None, busybox: Path = BUSYBOX, *, run_s: int = RUN_S
    ) -> None:
        """Import an image and start both. One that crashes has run for ``run_s`` seconds.

        Raises:
            NoRuntime: no engine answers, there is no static busybox, or the engine can't run it.
        """
        import docker
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        self.url = url or engine_url()
        self.prefix = f"monitoring-demo-{secrets.token_hex(3)}"
        self.healthy = f"{self.prefix}-web"
        self.fragile = f"{self.prefix}-worker"
        self._image = f"{self.prefix}:1"
        self._run_s = run_s
        self._imported = False
        self._containers: list[Container] = []
        try:
            self._client: DockerClient = docker.DockerClient(
                base_url=self.url, version="auto", timeout=20
            )
            self._client.ping()
        except (DockerException, RequestException, OSError) as error:
            raise NoRuntime(f"no Docker Engine answers at {self.url}") from error
        self.engine = f"Docker Engine {self._client.version()['Version']}"
        try:
            layer = _image_layer(busybox)
            # before the call: interrupted in it, the image may be there all the same
            self._imported = True
            self._client.api.import_image_from_data(layer, repository=self.prefix, tag="1")
            self._run(self.healthy, "web")
            self._run(self.fragile, "worker")
            self._see_them_run()
        except (DockerException, RequestException, OSError) as error:
            self.stop()
            raise NoRuntime(
                f"{self.engine} at {self.url} can't run a container: {error}"
            ) from error
        except BaseException:
            self.stop()
            raise

    def crash(self, on: bool) -> None:
        """Make the fragile container exit every few seconds, or stay."""
        fragile = self._client.containers.get(self.fragile)
        # as a file from outside, because nothing can be run in a container that is restarting
        fragile.put_archive("/", _tar({"mode": (b"crash\n" if on else b"ok\n", 0o644)}))

    def restarts(self) -> int:
        """How often the engine has restarted the fragile container."""
        container = self._client.containers.get(self.fragile)
        return int(container.attrs["RestartCount"])

    def stop(self) -> None:
        """Remove both containers and the image."""
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        with suppress(DockerException, RequestException, OSError):
            # by label, not from a list: one may have been created just when we were interrupted
            for container in self._client.containers.list(
                all=True, filters={"label": f"{_LABEL}={self.prefix}"}
            ):
                with suppress(DockerException):
                    container.remove(force=True, v=True)
            if self._imported:
                self._client.images.remove(self._image, force=True)
        self._client.close()

    def _see_them_run(self) -> None:
        # a program that the engine's machine can't execute is started, and ends at once
        time.sleep(1)
        for container in (self._client.containers.get(n) for n in (self.healthy, self.fragile)):
            if container.status != "running" or container.attrs["RestartCount"]:
                said = container.logs(tail=1).decode(errors="replace").strip()
                raise NoRuntime(
                    f"{self.engine} at {self.url} can't run a container: "
                    f"{said or 'it ends at once'}"
                )

    def _run(self, name: str, service: str) -> None:
        self._client.containers.run(
            self._image,
            ["/bin/busybox", "sh", "-c", _LOOP % self._run_s],
            name=name,
            detach=True,
            environment={"PATH": "/bin"},
            labels={_LABEL: self.prefix, "service": service},
            mem_limit="64m",
            restart_policy={"Name": "on-failure"},
            healthcheck={
                "test": ["CMD", "/bin/busybox", "test", "-f", "/mode"],
                "interval": 5_000_000_000,
                "timeout": 3_000_000_000,
                "retries": 2,
            },
        )


def _image_layer(busybox: Path) -> bytes:
    """A root file system as a tar: busybox, and the links that its shell needs."""
    try:
        program = busybox.read_bytes()
    except OSError:
        raise NoRuntime(
            f"a Docker Engine answers, but there is no {busybox} to make an image of "
            "(apt-get install busybox-static)"
        ) from None
    # a dynamically linked program names its loader near the file's start
    if b"/ld-" in program[:4096]:
        raise NoRuntime(
            f"a Docker Engine answers, but {busybox} is not static, so no image can be made of "
            "it (apt-get install busybox-static)"
        )
    return _tar(
        {
            "bin/busybox": (program, 0o755),
            "bin/sh": "busybox",
            "bin/cat": "busybox",
            "bin/sleep": "busybox",
            "mode": (b"ok\n", 0o644),
        }
    )


def _tar(files: dict[str, tuple[bytes, int] | str]) -> bytes:
    """A tar of files (content and mode) and symbolic links (target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, what in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(what, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, what
                tar.addfile(entry)
            else:
                content, entry.mode = what
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
