"""Docker Engine (and what speaks its API) as a ``Runtime``."""

from __future__ import annotations

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.transport import UnixHTTPAdapter
from docker.utils import parse_host, version_lt
from requests.adapters import HTTPAdapter

from include.collectors.container_stats.docker_payload import (
    MEASURABLE,
    parse_inspect,
    parse_stats,
    with_usage,
)
from include.collectors.container_stats.labels import series_labels
from include.collectors.container_stats.runtime import Container, Listing
from include.collectors.container_stats.settings import EngineHost
from include.collectors.time_limit import Outcome, call_all
from userdb.errors import CollectionError
from userdb.ledger import Rejected

#: The first API version that answers at once, with one sample instead of two.
_ONE_SHOT = "1.41"
_PROBE_S = 5.0


class DockerEngine:
    """One engine, by its URL.

    Each request may take a third of ``timeout_s``, so that a single container whose request hangs
    (engines have such bugs) is a rejected row and not a failed engine.
    """

    def __init__(self, host: EngineHost, *, timeout_s: float, concurrency: int) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        # before any thread starts: imports of Airflow belong to the main one
        self._make_client = _client_factory(host)

    def containers(self) -> Listing:
        """See ``Runtime.containers``."""
        began = time.perf_counter()
        (opened,) = call_all([self._open], workers=1, timeout_s=self._timeout_s)
        if opened.value is None:
            raise self._unavailable(opened.error)
        client, wanted = opened.value
        client.timeout = max(1, round(self._timeout_s / 3))
        outcomes = call_all(
            [partial(_read, client, str(entry["Id"]), began) for entry in wanted],
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
        return self._listing(wanted, outcomes)

    def _open(self) -> tuple[APIClient, list[Mapping[str, Any]]]:
        """A client, and what the engine lists of the containers that are looked at."""
        try:
            _probe(self._host.url, min(_PROBE_S, self._timeout_s))
        except TimeoutError:
            raise
        except OSError as error:
            raise CollectionError(
                f"{self._where} can't be reached: {error.strerror or error}. Start it, or correct "
                "its url in container_stats.hosts; its socket needs the right to read and write"
            ) from error
        client = self._make_client(self._timeout_s)
        _widen(client, self._concurrency)
        found = client.containers(all=True)
        if not isinstance(found, list):
            raise TypeError(f"its list of containers is {str(found)[:100]!r}")
        return client, [entry for entry in found if self._is_wanted(entry)]

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
        own = {str(key): str(value) for key, value in (entry.get("Labels") or {}).items()}
        names = entry.get("Names") or [""]
        known = own | series_labels(
            name=str(names[0]).removeprefix("/"),
            image=str(entry.get("Image") or ""),
            labels=own,
            host=self._host.name,
        )

        def matches(item: tuple[str, str]) -> bool:
            return fnmatchcase(known.get(item[0], ""), item[1])

        return all(map(matches, self._host.include.items())) and not any(
            map(matches, self._host.exclude.items())
        )

    def _listing(
        self,
        wanted: list[Mapping[str, Any]],
        outcomes: list[Outcome[tuple[Container, Rejected | None]]],
    ) -> Listing:
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
        return Listing(tuple(containers), tuple(rejected))


def _read(client: APIClient, mark: str, began: float) -> tuple[Container, Rejected | None]:
    """Inspect a container and measure it. One that can't be measured still has a state."""
    container = parse_inspect(client.inspect_container(mark), time.perf_counter() - began)
    if container.state not in MEASURABLE:
        return container, None
    one_shot = None if version_lt(client.api_version, _ONE_SHOT) else True
    try:
        usage = parse_stats(client.stats(mark, stream=False, one_shot=one_shot))
    except NotFound:
        raise
    except Exception as error:
        return container, Rejected(container.name, f"no measurement: {_reason(error)}", mark[:12])
    return with_usage(container, usage, time.perf_counter() - began), None


def _widen(client: APIClient, connections: int) -> None:
    """Let the client keep so many connections; from the eleventh on it would open each anew."""
    adapter = client.get_adapter(client.base_url)
    if isinstance(adapter, UnixHTTPAdapter):
        adapter.max_pool_size = connections
        adapter.pools.clear()
    elif isinstance(adapter, HTTPAdapter):
        adapter.init_poolmanager(1, connections)


def _probe(url: str, timeout_s: float) -> None:
    """Connect and hang up: tells what the client's own errors bury, such as "permission denied".

    Raises:
        OSError: nobody listens there, or one isn't let in.
    """
    parts = urlsplit(parse_host(url))
    if parts.scheme == "http+unix":
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            probe.settimeout(timeout_s)
            probe.connect(parts.path)
    else:
        socket.create_connection((str(parts.hostname), parts.port or 2375), timeout_s).close()


def airflow_is_meant() -> bool:
    """Whether this process is Airflow's, or its environment names one.

    Merely importing Airflow sets up a home folder, so it is not imported elsewhere.
    """
    return "airflow" in sys.modules or bool(os.environ.get("AIRFLOW_HOME"))


def _client_factory(host: EngineHost) -> Callable[[float], APIClient]:
    """What makes a client: the Docker provider's hook within Airflow, else Docker's own client."""
    try:
        if not host.connection and not airflow_is_meant():
            raise ImportError
        from airflow.providers.docker.hooks.docker import DockerHook
    except ImportError:
        if host.connection:
            raise CollectionError(
                f"container_stats.hosts: {host.name} has the connection {host.connection!r}, and "
                "apache-airflow-providers-docker is not installed; install it or drop the setting"
            ) from None
        return lambda timeout_s: APIClient(
            base_url=host.url, version="auto", timeout=math.ceil(timeout_s)
        )

    def from_hook(timeout_s: float) -> APIClient:
        hook = DockerHook(
            docker_conn_id=host.connection,
            base_url=host.url,
            version="auto",
            timeout=math.ceil(timeout_s),
        )
        # before Python 3.12 a cached_property holds one lock for all instances while it computes:
        # an engine that hangs would keep the others waiting
        connect = getattr(DockerHook.api_client, "func", DockerHook.get_conn)
        client: APIClient = connect(hook)
        return client

    return from_hook


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
    if isinstance(error, NotFound):
        return "went away while it was asked about"
    if isinstance(error, APIError):
        return f"HTTP {error.status_code}: {error.explanation or error}"
    return f"{type(error).__name__}: {error}"
