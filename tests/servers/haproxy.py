"""An HAProxy of the tests' own, with an HTTP frontend and a TCP one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.upstream import Gateway, free_port, program, run_upstream, running

#: Of the server: the times of its log name none.
TIMEZONE = "America/St_Johns"

_CONFIGURATION = """
global
    maxconn 100
    # two threads that log at once to a file lose a line
    nbthread 1
defaults
    timeout connect 10s
    timeout client 20s
    timeout server 1s
    retries 0
frontend web
    mode http
    log fd@{http_log} format raw local0
    option httplog
    option abortonclose
    bind 127.0.0.1:{port}
    capture request header User-Agent len 64
    http-request deny deny_status 403 if {{ path_beg /forbidden/ }}
    http-request auth realm admin if {{ path_beg /admin/ }} !{{ http_auth(operators) }}
    use_backend down if {{ path_beg /down/ }}
    default_backend app
userlist operators
    user operator insecure-password demo
backend app
    mode http
    option abortonclose
    server app1 127.0.0.1:{upstream}
backend down
    mode http
    server down1 127.0.0.1:{closed}
frontend streams
    mode tcp
    log fd@{tcp_log} format raw local0
    option tcplog
    bind 127.0.0.1:{tcp_port}
    default_backend stream
backend stream
    mode tcp
    server stream1 127.0.0.1:{upstream}
"""


@dataclass(frozen=True)
class HAProxy(Gateway):
    """A running gateway. Its logs are ``http.log`` and ``tcp.log``."""

    tcp_port: int

    def streams(self) -> Gateway:
        """Its TCP frontend."""
        return Gateway(self.tcp_port, self.folder, self.pid)


@contextmanager
def run_haproxy() -> Iterator[HAProxy]:
    """Start HAProxy and an upstream, and end both."""
    command = program("haproxy", "haproxy")
    folder = Path(tempfile.mkdtemp(prefix="haproxy-"))
    port, tcp_port = free_port(), free_port()
    try:
        with (
            run_upstream() as upstream,
            (folder / "http.log").open("wb") as http_log,
            (folder / "tcp.log").open("wb") as tcp_log,
            (folder / "out").open("wb") as out,
        ):
            (folder / "haproxy.cfg").write_text(
                _CONFIGURATION.format(
                    port=port,
                    tcp_port=tcp_port,
                    upstream=upstream,
                    closed=free_port(),
                    http_log=http_log.fileno(),
                    tcp_log=tcp_log.fileno(),
                )
            )
            # -db: in the foreground
            process = subprocess.Popen(
                [command, "-db", "-f", str(folder / "haproxy.cfg")],
                stdout=out,
                stderr=out,
                pass_fds=(http_log.fileno(), tcp_log.fileno()),
                env={**os.environ, "TZ": TIMEZONE},
            )
            with running(process, tcp_port, folder / "out"):
                yield HAProxy(port, folder, process.pid, tcp_port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
