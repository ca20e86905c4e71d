"""An nginx of the tests' own: scratch folder, free port on 127.0.0.1, both log formats."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT
from tests.servers.upstream import Gateway, free_port, program, run_upstream, running

#: Of the server: the times of its error log name none.
TIMEZONE = "Asia/Kolkata"
#: The directive of ``own.log``.
OWN_FORMAT = """log_format own '$remote_addr|$remote_user|$msec "$request" $status '
    '$body_bytes_sent $request_time [$upstream_addr] "$http_user_agent" ${request_id}';"""

#: The account of /admin/, as auth_basic_user_file takes it.
_ACCOUNT = "operator:{PLAIN}demo\n"

_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
{log_format}
    {own_format}
    access_log {folder}/json.log monitoring;
    access_log {folder}/own.log own;
    access_log {folder}/combined.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_read_timeout 1s;
    proxy_set_header Host $host;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
        location /down/ {{ proxy_pass http://127.0.0.1:{closed}; }}
        location /forbidden/ {{ deny all; }}
        location /admin/ {{
            auth_basic admin;
            auth_basic_user_file {folder}/users;
            proxy_pass http://127.0.0.1:{upstream};
        }}
    }}
}}
"""


class Nginx(Gateway):
    """A running gateway. Its logs are ``json.log``, ``combined.log`` and ``error.log``."""

    def reload(self) -> None:
        """Read the configuration again; old workers answer what they have begun."""
        os.kill(self.pid, signal.SIGHUP)

    def reopen_logs(self) -> None:
        """What a rotation does after renaming."""
        os.kill(self.pid, signal.SIGUSR1)


@contextmanager
def run_nginx() -> Iterator[Nginx]:
    """Start nginx and an upstream, and end both."""
    port = free_port()
    with run_upstream() as upstream, nginx_folder() as folder:
        (folder / "users").write_text(_ACCOUNT)
        configuration = _CONFIGURATION.format(
            folder=folder,
            log_format=LOG_FORMAT,
            own_format=OWN_FORMAT,
            port=port,
            upstream=upstream,
            closed=free_port(),
        )
        with started_nginx(folder, configuration, port) as server:
            yield server


@contextmanager
def nginx_folder() -> Iterator[Path]:
    """A scratch folder that nginx's workers, who run as another user, may read."""
    folder = Path(tempfile.mkdtemp(prefix="nginx-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started_nginx(folder: Path, configuration: str, port: int) -> Iterator[Nginx]:
    """Start nginx with ``configuration``, which listens on ``port``, and end it."""
    command = program("nginx", "nginx-light")
    (folder / "nginx.conf").write_text(configuration)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [command, "-p", str(folder), "-c", str(folder / "nginx.conf")],
            stdout=out,
            stderr=out,
            env={**os.environ, "TZ": TIMEZONE},
        )
    with running(process, port, folder / "out"):
        yield Nginx(port, folder, process.pid)
