"""An Apache httpd of the tests' own, with a log in each of its formats and one in JSON."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.upstream import Gateway, free_port, program, run_upstream, running

#: The string of ``own.log``.
OWN_FORMAT = '%a %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D %v'

_JSON = {
    "us": "%{usec}t",
    "client": "%a",
    "user": "%u",
    "line": "%r",
    "status": "%>s",
    "bytes": "%O",
    "took_us": "%D",
}
_NUMBERS = ("us", "status", "bytes", "took_us")
#: The string of ``json.log``, escaped as the configuration needs it.
_JSON_FORMAT = (
    "{"
    + ",".join(
        f'\\"{name}\\":{value}' if name in _NUMBERS else f'\\"{name}\\":\\"{value}\\"'
        for name, value in _JSON.items()
    )
    + "}"
)

_MODULES = Path("/usr/lib/apache2/modules")
_CONFIGURATION = """
ServerName gateway
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
{modules}
<IfModule unixd_module>
    User www-data
    Group www-data
</IfModule>
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
LogFormat "{own}" own
LogFormat "{json}" json
CustomLog {folder}/common.log common
CustomLog {folder}/combined.log combined
CustomLog {folder}/own.log own
CustomLog {folder}/json.log json
ProxyTimeout 1
ProxyPass /forbidden/ !
ProxyPass /down/ http://127.0.0.1:{closed}/ retry=0
ProxyPass / http://127.0.0.1:{upstream}/ retry=0
<Location /forbidden/>
    Require all denied
</Location>
<Location /admin/>
    AuthType Basic
    AuthName admin
    AuthUserFile {folder}/users
    Require valid-user
</Location>
"""
_WANTED = (
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "proxy",
    "proxy_http",
    "log_config",
    "logio",
    "unixd",
)


@contextmanager
def run_apache() -> Iterator[Gateway]:
    """Start Apache and an upstream, and end both."""
    command = program("apache2", "apache2-bin")
    folder = Path(tempfile.mkdtemp(prefix="apache-"))
    # workers run as another user
    folder.chmod(0o755)
    # operator:demo, in SHA-1, the one that Apache itself understands on every platform
    (folder / "users").write_text("operator:{SHA}ieSV55Qc+eQOaYDRSha/AjzNTJE=\n")
    port = free_port()
    modules = "\n".join(
        f"LoadModule {name}_module {_MODULES}/mod_{name}.so"
        for name in _WANTED
        # what is compiled in has no file
        if (_MODULES / f"mod_{name}.so").exists()
    )
    try:
        with run_upstream() as upstream, (folder / "out").open("wb") as out:
            (folder / "apache.conf").write_text(
                _CONFIGURATION.format(
                    folder=folder,
                    modules=modules,
                    own=OWN_FORMAT,
                    json=_JSON_FORMAT,
                    port=port,
                    upstream=upstream,
                    closed=free_port(),
                )
            )
            process = subprocess.Popen(
                [command, "-d", str(folder), "-f", str(folder / "apache.conf"), "-DFOREGROUND"],
                stdout=out,
                stderr=out,
                env={**os.environ, "TZ": "Asia/Kolkata"},
            )
            with running(process, port, folder / "out"):
                yield Gateway(port, folder, process.pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
