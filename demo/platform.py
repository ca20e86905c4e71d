"""The platform that the demo watches: services behind a gateway that writes an access log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from demo.interruption import uninterrupted
from demo.nginx import configure, find_nginx, nginx_version
from demo.processes import LOOPBACK, Child, StartError, answers, free_port, python_module
from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT

#: The gateway's port where it is free.
PREFERRED_PORT = 8088
_TRIES = 3


class Platform:
    """Services and gateway, running; a context manager that stops them.

    ``gateway`` says what the gateway is, ``remarks`` what was done without.
    """

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        preferred_port: int = PREFERRED_PORT,
        nginx: str | None = None,
        use_nginx: bool = True,
    ) -> None:
        """Start everything.

        Args:
            folder: takes logs and configuration.
            env: the processes' whole environment, with USERDB_URL; None: this process' own.
            preferred_port: the gateway's port where it is free.
            nginx: path of nginx; None looks for it.
            use_nginx: False takes the built-in gateway even where nginx is installed.

        Raises:
            StartError: something did not come up.
        """
        self.folder = folder
        self.log = folder / "access.log"
        self.remarks: list[str] = []
        self._env = env
        self._children: list[Child] = []
        self._services = requests.Session()
        # a proxy of the machine's has no part in what stays on the machine
        self._services.trust_env = False
        self._nginx = (nginx or find_nginx()) if use_nginx else None
        try:
            self.upstream_port = self._on_a_port(0, self._start_upstream)
            self.gateway, self.port = self._start_gateway(preferred_port)
        except BaseException:
            self.stop()
            raise
        if preferred_port not in (0, self.port):
            self.remarks.append(f"port {preferred_port} is in use: the gateway has {self.port}")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def faults_url(self) -> str:
        """PUT a JSON list of faults here; [] ends them all."""
        return f"http://{LOOPBACK}:{self.upstream_port}/_faults"

    def set_faults(self, faults: Iterable[str]) -> None:
        """Make the services fail in just these ways."""
        self._services.put(self.faults_url, json=sorted(faults), timeout=10).raise_for_status()

    def reported(self) -> int:
        """How many failed simulations the services have reported."""
        answer = self._services.get(self.faults_url, timeout=10)
        answer.raise_for_status()
        return int(answer.json()["reported"])

    def processes(self) -> list[Child]:
        return list(self._children)

    def stop(self) -> None:
        """End the gateway, then the services."""
        while self._children:
            self._children.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_upstream(self, port: int) -> Child:
        return self._start("services", python_module("demo.upstream", "--port", str(port)))

    def _start_gateway(self, preferred: int) -> tuple[str, int]:
        if self._nginx is None:
            self.remarks.append(
                "nginx is not installed: the built-in gateway writes the same log"
                if find_nginx() is None
                else "nginx is not used: the built-in gateway writes the same log"
            )
        else:
            nginx = self._nginx
            try:
                port = self._on_a_port(preferred, lambda port: self._start_nginx(nginx, port))
            except StartError as error:
                self.remarks.append(f"{error}: the built-in gateway takes its place")
            else:
                return f"nginx {nginx_version(nginx)}", port
        return "built-in gateway", self._on_a_port(preferred, self._start_builtin)

    def _start_nginx(self, nginx: str, port: int) -> Child:
        conf = configure(self.folder, port, self.upstream_port, self.log, LOG_FORMAT)
        return self._start("nginx", [nginx, "-p", f"{self.folder}/", "-c", str(conf)])

    def _start_builtin(self, port: int) -> Child:
        command = python_module(
            "demo.gateway",
            *("--port", str(port), "--upstream-port", str(self.upstream_port)),
            *("--log", str(self.log), "--log-format", LOG_FORMAT),
        )
        return self._start("gateway", command)

    def _start(self, name: str, command: Sequence[str]) -> Child:
        return Child.start(name, command, self.folder, env=self._env)

    def _on_a_port(self, preferred: int, start: Callable[[int], Child]) -> int:
        """Start a server on a free port; another one where somebody takes it in between."""
        for left in reversed(range(_TRIES)):
            port = free_port(preferred if left == _TRIES - 1 else 0)
            with uninterrupted():
                child = start(port)
                self._children.append(child)
            try:
                child.wait_until(partial(answers, port))
            except StartError:
                child.stop()
                self._children.remove(child)
                if not left:
                    raise
            else:
                return port
        raise AssertionError("unreachable")
