"""The compose project in a scratch folder, on an engine of the tests' own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.deployment.images import ROOT
from tests.servers.docker import DockerServer

T = TypeVar("T")
NAME = "monitoring"
#: Those of which something is started.
PROFILES = ("--profile", "demo", "--profile", "grafana")


@dataclass(frozen=True)
class Project:
    """The project in ``folder``. Its published ports are in the engine's network namespace."""

    engine: DockerServer
    folder: Path

    def compose(self, *arguments: str, check: bool = True, timeout_s: float = 600) -> str:
        """Run docker-compose and return what it says on both outputs.

        Raises:
            RuntimeError: it failed, where ``check`` is true.
        """
        return self.shell(
            shlex.join(["docker-compose", *arguments]), check=check, timeout_s=timeout_s
        )

    def shell(self, line: str, *, check: bool = True, timeout_s: float = 600) -> str:
        """Run a line in the project's folder, as who administers it would.

        Raises:
            RuntimeError: it failed, where ``check`` is true.
        """
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "DOCKER_HOST": self.engine.url,
                "COMPOSE_PROJECT_NAME": NAME,
                "COMPOSE_HTTP_TIMEOUT": "300",
            },
        )
        if check and done.returncode:
            raise RuntimeError(f"{line}: {done.stdout[-6000:]}")
        return done.stdout

    def run_in(self, service: str, *command: str) -> str:
        """What ``command`` prints in the first container of ``service``."""
        # Airflow's commands take long where all of it starts at once on few cores
        return self.engine.docker("exec", self.containers(service)[0], *command, timeout_s=300)

    def containers(self, service: str) -> list[str]:
        """Ids of the service's containers, those that ended too."""
        return self.engine.docker(
            *("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={NAME}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()

    def states(self) -> dict[str, str]:
        """``service-number`` → health where the container has a check, else its state."""
        ids = self.engine.docker(
            *("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={NAME}")
        ).split()
        found: dict[str, str] = {}
        for one in json.loads(self.engine.docker("inspect", *ids)) if ids else []:
            labels, state = one["Config"]["Labels"], one["State"]
            name = labels["com.docker.compose.service"]
            number = labels["com.docker.compose.container-number"]
            health = state.get("Health", {}).get("Status")
            if state["Status"] == "exited":
                found[f"{name}-{number}"] = f"exited {state['ExitCode']}"
            else:
                found[f"{name}-{number}"] = health or state["Status"]
        return found

    def request(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Ask a published port; status and body. 0: nobody answered."""
        command = ["nsenter", f"--net=/proc/{self.engine.pid}/ns/net", "curl", "-sS", "-X", method]
        command += ["--max-time", "30", "-w", "\n%{http_code}", url]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        if token is not None:
            command += ["-H", f"Authorization: Bearer {token}"]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        text, _, status = done.stdout.rpartition("\n")
        return int(status or 0), text

    def query(self, sql: str) -> list[list[str]]:
        """Rows of userdb, as text."""
        command = (
            "MYSQL_PWD=$(cat /run/secrets/userdb_password) "
            'exec mysql -h 127.0.0.1 -u monitoring --batch --skip-column-names userdb -e "$0"'
        )
        answer = self.run_in("userdb", "sh", "-c", command, sql)
        return [line.split("\t") for line in answer.splitlines()]

    def pools(self) -> dict[str, int]:
        """Airflow's pools and their slots."""
        printed = self.run_in("api-server", "airflow", "pools", "list", "--output", "json")
        return {one["pool"]: int(one["slots"]) for one in json.loads(printed)}

    def prometheus(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus' instant query finds; nothing where it doesn't answer."""
        moment = () if at is None else (f"--time={at:.0f}",)
        command = ("promtool", "query", "instant", "--format=json", *moment)
        try:
            printed = self.run_in("prometheus", *command, "http://127.0.0.1:9090", expression)
        except RuntimeError:
            return []
        found: list[dict[str, Any]] = json.loads(printed)
        return found

    def secrets(self) -> dict[str, str]:
        """What the files of secrets hold, but for empty ones."""
        files = (self.folder / "secrets").iterdir()
        return {file.name: text for file in files if (text := file.read_text().strip())}

    def logs(self) -> str:
        """The end of what everything said, for a failed test's message."""
        return self.compose("logs", "--no-color", "--tail=30", check=False)[-20000:]


def make_project(engine: DockerServer, folder: Path, **settings: str) -> Project:
    """The project's files, a ``.env`` as the example says, and new secrets."""
    for name in ("docker-compose.yml", "deploy"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    socket = engine.url.removeprefix("unix://")
    settings = {
        "DOCKER_SOCKET": socket,
        "DOCKER_GID": str(Path(socket).stat().st_gid),
        **settings,
    }
    lines = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={settings.pop(name)}" if name in settings else line)
    assert not settings, settings
    (folder / ".env").write_text("\n".join(lines) + "\n")
    subprocess.run([folder / "deploy/make-secrets"], check=True, capture_output=True)
    return Project(engine, folder)


def wait_for(found: Callable[[], T], wanted: str, *, seconds: float) -> T:
    """What ``found`` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s: not {wanted}")
        time.sleep(1)
    return result


def token(project: Project, user: str, password: str) -> str:
    """Airflow's token for a user.

    Raises:
        AssertionError: the login is refused.
    """
    status, text = project.request(
        "POST", "http://127.0.0.1:8080/auth/token", {"username": user, "password": password}
    )
    assert status == 201, (status, text)
    answer: dict[str, Any] = json.loads(text)
    return str(answer["access_token"])
