"""A program of Prometheus' family: told by flags where it listens, ready when /-/ready answers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.upstream import free_port

#: Servers here are this machine's own, whatever proxy is set.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def run_web_program(
    package: str, configuration: str, storage_flag: str, flags: Sequence[str] = ()
) -> Iterator[str]:
    """Start the program that is named like its Debian ``package``, and end it; yields its URL.

    Raises:
        RuntimeError: it isn't installed, or does not start.
    """
    program = shutil.which(package)
    if program is None:
        raise RuntimeError(f"{package} is not installed: apt-get install {package}")
    folder = Path(tempfile.mkdtemp(prefix=f"{package}-"))
    (folder / "configuration.yml").write_text(configuration)
    port = free_port()
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'configuration.yml'}",
                f"{storage_flag}={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *flags,
            ],
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(package, url, process, folder)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(package: str, url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            OPENER.open(f"{url}/-/ready", timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > deadline:
                told = (folder / "out").read_text(errors="replace")
                raise RuntimeError(f"{package} did not start:\n{told}") from None
            time.sleep(0.05)
