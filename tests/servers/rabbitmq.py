"""A RabbitMQ of the tests' own: scratch folder, free ports of 127.0.0.1, its own cookie and epmd.

Erlang's nodes find each other by a daemon, epmd, and trust whoever knows a cookie out of HOME.
Both are this server's alone: another RabbitMQ of the machine is neither seen nor disturbed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Debian's /usr/sbin/rabbitmq-server would change to the user rabbitmq.
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@dataclass
class RabbitServer:
    """A running server; ``url`` is of its virtual host ``/``."""

    port: int
    folder: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def close_connections(self) -> None:
        """End all clients' connections, as a server does that is shut down."""
        subprocess.run(
            [str(_PROGRAM.with_name("rabbitmqctl")), "close_all_connections", "test"],
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=60,
        )


@contextmanager
def run_rabbitmq(**settings: int) -> Iterator[RabbitServer]:
    """Start a server and end it, its epmd too.

    Args:
        settings: of rabbitmq.conf, beside those that the server needs here.
    """
    epmd_program = shutil.which("epmd")
    if epmd_program is None or not _PROGRAM.exists():
        raise RuntimeError("RabbitMQ is not installed: apt-get install rabbitmq-server")
    folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
    port, distribution, epmd_port = _free_ports(3)
    (folder / "plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        # the disk of a machine that runs tests may well be fuller than a server's should be
        "disk_free_limit.absolute = 1MB\n"
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"tests-{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        # the node must not start an epmd of its own: that would stay when the node has ended
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false"
        " -kernel inet_dist_use_interface {127,0,0,1}",
    }
    with (folder / "out").open("wb") as out:
        epmd = subprocess.Popen(
            [epmd_program, "-address", "127.0.0.1", "-port", str(epmd_port)],
            stdout=out,
            stderr=out,
            env=environment,
        )
        process = subprocess.Popen(
            [str(_PROGRAM)], stdout=out, stderr=out, env=environment, cwd=folder
        )
    try:
        server = RabbitServer(port, folder, environment)
        _wait(server, process)
        yield server
    finally:
        for one in (process, epmd):
            one.terminate()
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait(server: RabbitServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not _greets(server.port):
        if process.poll() is not None or time.monotonic() > deadline:
            text = (server.folder / "out").read_text(errors="replace")[-3000:]
            raise RuntimeError(f"RabbitMQ did not start:\n{text}")
        time.sleep(0.1)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"AMQP\0\0\x09\x01")
            return client.recv(1) == b"\x01"  # a frame with the first method
    except OSError:
        return False
