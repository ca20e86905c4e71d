"""A UDP socket that takes StatsD's datagrams."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Datagrams:
    """What came at ``port``: lines ``name:value|type``."""

    port: int
    _lines: list[str] = field(default_factory=list)

    def lines(self, prefix: str) -> list[str]:
        """The lines that begin with ``prefix``, in the order in which they came."""
        return [one for one in list(self._lines) if one.startswith(prefix)]

    def names(self, prefix: str) -> dict[str, str]:
        """Names that begin with ``prefix``, with the type of each: c, g or ms."""
        split = (one.partition(":") for one in self.lines(prefix))
        return {name: rest.partition("|")[2] for name, _, rest in split}

    def keep(self, data: bytes) -> None:
        self._lines += data.decode().splitlines()


@contextmanager
def receiving_datagrams() -> Iterator[Datagrams]:
    """A socket on a free port of 127.0.0.1, read until the end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        taken = Datagrams(server.getsockname()[1])
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                try:
                    taken.keep(server.recv(65536))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield taken
        over.set()
        thread.join()
