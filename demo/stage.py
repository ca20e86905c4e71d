"""Everything that the demo and `make up` share: scratch folder, userdb, receiver, platform."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rich.markup import escape

from demo.containers import Containers, NoRuntime
from demo.incident import subject
from demo.interruption import ignore_signals
from demo.metadata_postgres import PostgresStartError
from demo.platform import Platform
from demo.processes import ROOT
from demo.progress import Progress
from demo.routes import ROUTES
from demo.scratch import Scratch, Watched, environment
from demo.supervisor import USER, AirflowServer, AirflowStartError
from demo.traffic import Traffic
from demo.webhook import Message, Receiver
from userdb.migrate import upgrade
from userdb.store import open_store

#: Airflow's usual port, taken where it is free.
AIRFLOW_PORT = 8080


class Stage:
    """The platform, its userdb and a receiver, running; a context manager that ends them all.

    Args:
        progress: is told what there is, and what is done without.
        folder: takes everything that is written; emptied first.
        live: the DAGs run on their schedule, with the policies that are shipped.
        use_nginx: False takes the built-in gateway even where nginx is installed.
        refusals: how many messages the receiver turns away first.
    """

    containers: Containers | None
    platform: Platform
    receiver: Receiver
    scratch: Scratch

    def __init__(
        self,
        progress: Progress,
        folder: Path,
        *,
        live: bool = False,
        use_nginx: bool = True,
        refusals: int = 0,
    ) -> None:
        self.progress = progress
        self._folder = folder
        self._live = live
        self._use_nginx = use_nginx
        self._refusals = refusals
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def start_traffic(self, rate: float) -> Traffic:
        """Clients of the gateway, from now until the stage ends."""
        traffic = Traffic(self.platform.port, rate=rate)
        self._stack.callback(traffic.stop)
        traffic.start()
        self.progress.say("traffic", f"{rate:g} requests a second to {self.platform.url}")
        return traffic

    def start_airflow(self) -> AirflowServer:
        """Airflow, healthy; its password is in ``airflow.password``.

        Raises:
            AirflowStartError: it did not come up.
        """
        progress = self.progress
        began = progress.elapsed
        try:
            # a backfill while the scheduler runs needs it
            airflow = self._airflow("postgres")
        except AirflowStartError as error:
            if not isinstance(error.__cause__, PostgresStartError):
                raise
            # for one, where the folder of temporary files has too long a path for a socket
            why = str(error).strip().splitlines()[-1]
            progress.without("Airflow", f"its metadata is on SQLite, not PostgreSQL: {why}")
            airflow = self._airflow("sqlite")
        if airflow.port != AIRFLOW_PORT:
            progress.without("Airflow", f"port {AIRFLOW_PORT} is in use: it has {airflow.port}")
        progress.say(
            "Airflow",
            f"{version('apache-airflow')} on [link={airflow.url}]{airflow.url}[/] "
            f"(login {USER}, password {escape(airflow.password)}), "
            f"started in {progress.elapsed - began:.0f} s",
        )
        return airflow

    def _airflow(self, metadata: Literal["postgres", "sqlite"]) -> AirflowServer:
        airflow = AirflowServer(
            self.scratch.folder / "airflow",
            env=self.settings,
            metadata=metadata,
            port=AIRFLOW_PORT,
        )
        # before the start: it can be interrupted at any moment
        self._stack.callback(airflow.stop)
        with self.progress.waiting("Airflow is starting"):
            airflow.start(lambda step: self.progress.update(f"Airflow is starting: {step}"))
        return airflow

    def _set_up(self) -> None:
        say = self.progress.say
        self.scratch = Scratch(self._folder)
        self._stack.callback(self.scratch.close)
        if self.scratch.reason:
            self.progress.without(
                "folder",
                f"{self._folder}: {self.scratch.reason}; working in {self.scratch.folder}",
            )
        store = open_store(self.scratch.userdb_url)
        self._stack.callback(store.close)
        self.store = store
        say("userdb", f"{shown(self.scratch.folder)}/userdb.sqlite, schema {upgrade(store)}")
        self.receiver = Receiver(self._refusals)
        self._stack.callback(self.receiver.stop)
        say("receiver", f"a webhook on {self.receiver.url}")
        self.containers = self._containers()
        self.settings = self.scratch.settings(
            containers=(
                Watched(self.containers.url, self.containers.prefix) if self.containers else None
            ),
            webhook=self.receiver.url,
            live=self._live,
        )
        self.platform = Platform(
            self.scratch.folder, env=environment(self.settings), use_nginx=self._use_nginx
        )
        self._stack.callback(self.platform.stop)
        for remark in self.platform.remarks:
            self.progress.without("platform", remark)
        services = ", ".join(route.service for route in ROUTES)
        say("platform", f"{self.platform.gateway} on {self.platform.url}; behind it {services}")

    def _containers(self) -> Containers | None:
        try:
            containers = Containers()
        except NoRuntime as why:
            self.progress.without("containers", f"{why}: container collection has no runtime")
            return None
        self._stack.callback(containers.stop)
        self.progress.say(
            "containers", f"{containers.healthy} and {containers.fragile} on {containers.engine}"
        )
        return containers

    def _end(self) -> None:
        ignore_signals()
        with self.progress.waiting("stopping everything that was started"):
            self._stack.close()


def tell_message(progress: Progress, message: Message) -> None:
    """One line for each alert of a message that the receiver got."""
    if message.answered != 200:
        progress.say("webhook", f"turned away with {message.answered}: it must be sent again", "")
        return
    for alert in message.alerts:
        status, labels = str(alert.get("status")), alert.get("labels", {})
        about = subject(labels)
        if status == "firing":
            about = alert.get("annotations", {}).get("summary", about)
        name = labels.get("alertname", "?")
        progress.say(status, f"[bold]{escape(name)}[/] {escape(about)}", style_of(status))


def style_of(status: str) -> str:
    """The colour of an alert's status."""
    return {"firing": "bold red", "resolved": "bold green"}.get(status, "white")


def shown(path: Path) -> str:
    """``path`` as short as it can be said from the checkout, as markup."""
    return escape(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))
