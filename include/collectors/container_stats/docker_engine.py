"""An engine that speaks Docker's API, Docker or Podman, as a ``Runtime``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.utils import version_lt

from include.collectors.container_stats.credentials import (
    CertificateFiles,
    as_files,
    certificates,
)
from include.collectors.container_stats.docker_client import client_factory, probe, widen
from include.collectors.container_stats.docker_payload import (
    MEASURABLE,
    is_podman,
    parse_inspect,
    parse_stats,
    with_usage,
)
from include.collectors.container_stats.engine_events import (
    EngineEvents,
    event_params,
    parse_events,
)
from include.collectors.container_stats.labels import is_wanted
from include.collectors.container_stats.runtime import (
    Container,
    ContainerEvent,
    Listing,
    Period,
    Runtime,
)
from include.collectors.container_stats.runtimes import register_runtime
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from include.collectors.time_limit import Outcome, call_all
from userdb.errors import CollectionError
from userdb.ledger import Rejected

#: The first API version that answers at once, with one sample instead of two.
_ONE_SHOT = "1.41"
_PROBE_S = 5.0
#: Docker keeps so many events, of all kinds, and forgets the oldest.
_DOCKER_KEEPS = 256
_MOST_EVENTS = 20_000

_Read = tuple[Container, Rejected | None]


@register_runtime("docker", "podman")
def open_engine(host: EngineHost, settings: ContainerStatsSettings) -> Runtime:
    """The engine of ``host``; nothing is connected yet."""
    return DockerEngine(host, timeout_s=settings.time_limit(host), concurrency=settings.concurrency)


@dataclass(frozen=True)
class _Opened:
    """A connection, and the entries of the engine's list: all, and those that are looked at."""

    client: APIClient
    podman: bool
    found: list[Mapping[str, Any]]
    wanted: list[Mapping[str, Any]]


class DockerEngine:
    """One engine, by its URL.

    Each request may take a third of ``timeout_s``, so that a single container whose request hangs
    (engines have such bugs) is a rejected row and not a failed engine.
    """

    def __init__(self, host: EngineHost, *, timeout_s: float, concurrency: int) -> None:
        """Raises CollectionError or ConfigError where what the settings name isn't there."""
        self._host = host
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        # before any thread starts: imports of Airflow belong to the main one
        self._make_client = client_factory(host)
        self._certificates = certificates(host.tls, host.name) if host.tls else None

    def containers(self, period: Period | None = None) -> Listing:
        """See ``Runtime.containers``."""
        began = time.perf_counter()
        with ExitStack() as stack:
            files = (
                stack.enter_context(as_files(self._certificates)) if self._certificates else None
            )
            (opened,) = call_all([partial(self._open, files)], workers=1, timeout_s=self._timeout_s)
            if opened.value is None:
                raise self._unavailable(opened.error)
            client, wanted = opened.value.client, opened.value.wanted
            client.timeout = max(1, round(self._timeout_s / 3))
            events, notes = self._events(opened.value, period)
            outcomes = call_all(
                [partial(_read, opened.value, str(entry["Id"]), began) for entry in wanted],
                workers=self._concurrency,
                timeout_s=max(self._timeout_s - (time.perf_counter() - began), 0.0),
            )
        late = sum(not outcome.in_time for outcome in outcomes)
        if late:
            raise CollectionError(
                f"{self._where} told of only "
                f"{len(wanted) - late} of {len(wanted)} containers within {self._timeout_s:g} s; "
                "raise container_stats.timeout_s or look what slows it down"
            )
        client.close()
        containers, rejected = self._told(wanted, outcomes)
        return Listing(containers, rejected, events, notes)

    def _open(self, files: CertificateFiles | None) -> _Opened:
        """Connect, and list the containers."""
        try:
            probe(self._host.url, min(_PROBE_S, self._timeout_s), tls=files is not None)
        except TimeoutError:
            raise
        except OSError as error:
            raise CollectionError(
                f"{self._where} can't be reached: {error.strerror or error}. Start it, or correct "
                "its url in container_stats.hosts; its socket needs the right to read and write"
            ) from error
        client = self._make_client(self._timeout_s, files)
        widen(client, self._concurrency)
        found = client.containers(all=True)
        if not isinstance(found, list):
            raise TypeError(f"its list of containers is {str(found)[:100]!r}")
        wanted = [entry for entry in found if self._is_wanted(entry)]
        return _Opened(client, is_podman(client.version()), found, wanted)

    def _events(
        self, opened: _Opened, period: Period | None
    ) -> tuple[tuple[ContainerEvent, ...] | None, tuple[str, ...]]:
        """What happened in the period, and what is to be said of that."""
        if period is None:
            return None, ()
        (told,) = call_all(
            [partial(_ask_events, opened, period)],
            workers=1,
            timeout_s=self._timeout_s / 3,
        )
        if told.value is None:
            why = "not within a third of its time" if told.error is None else _reason(told.error)
            return None, (f"events since {period.since:%H:%M:%SZ} were not told: {why}",)
        notes = []
        if told.value.bad:
            notes.append(f"{told.value.bad} of {told.value.read} events made no sense")
        oldest = told.value.oldest
        full = _MOST_EVENTS if opened.podman else _DOCKER_KEEPS
        if told.value.read >= full and oldest is not None and oldest > period.since:
            notes.append(
                f"events before {oldest:%H:%M:%SZ} may be lost: the engine tells of {full} events, "
                "the checks of health among them"
            )
        listed = {str(entry["Id"]) for entry in opened.found}
        chosen = {str(entry["Id"]) for entry in opened.wanted}
        labels = {str(entry["Id"]): entry.get("Labels") or {} for entry in opened.found}
        events = tuple(
            replace(event, labels={**event.labels, **labels.get(event.container_id, {})})
            for event in told.value.events
            if event.container_id in chosen
            or (
                event.container_id not in listed
                and is_wanted(self._host, event.container, event.image, event.labels)
            )
        )
        return events, tuple(notes)

    @property
    def _where(self) -> str:
        return f"the engine {self._host.name} at {self._host.url}"

    def _unavailable(self, error: Exception | None) -> CollectionError:
        if isinstance(error, CollectionError):
            return error
        if isinstance(error, APIError):
            return CollectionError(f"{self._where} refuses to answer: {_reason(error)}")
        if error is None or _timed_out(error):
            return CollectionError(
                f"{self._where} did not answer within {self._timeout_s:g} s. Look whether it hangs "
                "(`docker ps`), restart it, or raise container_stats.timeout_s"
            )
        return CollectionError(
            f"{self._where} gave no usable answer: {_reason(error)}. "
            "Look whether it is a Docker Engine"
        )

    def _is_wanted(self, entry: Mapping[str, Any]) -> bool:
        names = entry.get("Names") or [""]
        return is_wanted(
            self._host,
            str(names[0]).removeprefix("/"),
            str(entry.get("Image") or ""),
            entry.get("Labels") or {},
        )

    def _told(
        self, wanted: list[Mapping[str, Any]], outcomes: list[Outcome[_Read]]
    ) -> tuple[tuple[Container, ...], tuple[Rejected, ...]]:
        containers, rejected = [], []
        for entry, outcome in zip(wanted, outcomes, strict=True):
            if outcome.value is not None:
                container, problem = outcome.value
                containers.append(container)
                rejected += [problem] if problem else []
            else:
                name = str((entry.get("Names") or ["?"])[0]).removeprefix("/")
                rejected.append(Rejected(name, _reason(outcome.error), str(entry["Id"])[:12]))
        if wanted and not containers and not all(_is_gone(o.error) for o in outcomes):
            raise CollectionError(
                f"{self._where} lists {len(wanted)} containers "
                f"and tells of none of them: {rejected[0].why}"
            )
        return tuple(containers), tuple(rejected)


def _read(opened: _Opened, mark: str, began: float) -> _Read:
    """Inspect a container and measure it. One that can't be measured still has a state."""
    client = opened.client
    container = parse_inspect(client.inspect_container(mark), time.perf_counter() - began)
    if container.state not in MEASURABLE:
        return container, None
    one_shot = None if version_lt(client.api_version, _ONE_SHOT) else True
    try:
        usage = parse_stats(
            client.stats(mark, stream=False, one_shot=one_shot), podman=opened.podman
        )
    except NotFound:
        raise
    except Exception as error:
        return container, Rejected(container.name, f"no measurement: {_reason(error)}", mark[:12])
    return with_usage(container, usage, time.perf_counter() - began), None


def _ask_events(opened: _Opened, period: Period) -> EngineEvents:
    client = opened.client
    answer = client.get(
        f"{client.base_url}/v{client.api_version}/events",
        params=event_params(period, podman=opened.podman),
        stream=True,
        timeout=client.timeout,
    )
    with closing(answer):
        if not answer.ok:
            raise CollectionError(f"HTTP {answer.status_code}: {answer.text[:200].strip()}")
        return parse_events(islice(answer.iter_lines(), _MOST_EVENTS), period)


def _timed_out(error: BaseException | None) -> bool:
    """Whether a time-out is anywhere in the chain of causes."""
    while error is not None:
        if isinstance(error, TimeoutError) or "timed out" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_gone(error: Exception | None) -> bool:
    return isinstance(error, NotFound)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, CollectionError):
        return str(error)
    if isinstance(error, NotFound):
        return "went away while it was asked about"
    if isinstance(error, APIError):
        return f"HTTP {error.status_code}: {error.explanation or error}"
    return f"{type(error).__name__}: {error}"
