"""nginx as the demo's gateway, in a folder of its own and without root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from demo.processes import LOOPBACK
from demo.routes import ADMIN, ROUTES, UPSTREAM_TIMEOUT_S, Route

#: Where distributions install it; not on every user's PATH.
_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin"


def find_nginx() -> str | None:
    """nginx's path, or None."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")


def nginx_version(nginx: str) -> str:
    """For example 1.22.1."""
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else "?"


def configure(folder: Path, port: int, upstream_port: int, log: Path, log_format: str) -> Path:
    """Write nginx's configuration and password file into ``folder``; the configuration's path.

    ``log_format`` is the whole directive; its first word names the format.
    """
    passwords = folder / "admin.htpasswd"
    passwords.write_text("{}:{{PLAIN}}{}\n".format(*ADMIN))
    name = log_format.split()[1]
    # started as root, workers would be another user, who may not read the checkout
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f'    {kind}_temp_path "{folder}/nginx-{kind}";'
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    locations = "\n".join(_location(route, upstream_port, passwords) for route in ROUTES)
    path = folder / "nginx.conf"
    path.write_text(
        f"""\
daemon off;
{user}
worker_processes 1;
pid "{folder}/nginx.pid";
error_log "{folder}/nginx-error.log" warn;
events {{ worker_connections 512; }}
http {{
{log_format.rstrip()}
    access_log "{log}" {name};
{temporary}
    proxy_read_timeout {UPSTREAM_TIMEOUT_S}s;
    proxy_next_upstream off;
    server {{
        listen {LOOPBACK}:{port};
        server_name localhost;
{locations}
        location / {{ return 404; }}
    }}
}}
"""
    )
    return path


def _location(route: Route, upstream_port: int, passwords: Path) -> str:
    protection = (
        f'            auth_basic "{route.name}";\n            auth_basic_user_file "{passwords}";\n'
        if route.protected
        else ""
    )
    return (
        f"        location {route.prefix} {{\n"
        f"{protection}"
        f"            proxy_pass http://{LOOPBACK}:{upstream_port};\n"
        f"        }}"
    )
