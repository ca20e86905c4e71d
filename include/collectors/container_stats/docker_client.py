"""Connections to an engine: Docker's own client, or within Airflow that of its provider's hook."""

from __future__ import annotations

import math
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from docker import APIClient
from docker.errors import TLSParameterError
from docker.tls import TLSConfig
from docker.transport import UnixHTTPAdapter
from docker.utils import parse_host
from requests.adapters import HTTPAdapter

from include.collectors.container_stats.credentials import CertificateFiles
from include.collectors.container_stats.settings import EngineHost
from userdb.errors import CollectionError

#: Makes a client with a time limit in seconds, and certificates where TLS is configured.
MakeClient = Callable[[float, CertificateFiles | None], APIClient]


def airflow_is_meant() -> bool:
    """Whether this process is Airflow's, or its environment names one.

    Merely importing Airflow sets up a home folder, so it is not imported elsewhere.
    """
    return "airflow" in sys.modules or bool(os.environ.get("AIRFLOW_HOME"))


class _TlsClient(APIClient):
    """Trusts whom it is told to: requests would prefer REQUESTS_CA_BUNDLE of the environment."""

    def merge_environment_settings(
        self, url: str | bytes | None, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**merged, "verify": self.verify}


def client_factory(host: EngineHost) -> MakeClient:
    """What makes a client for ``host``. To be called in the main thread: it may import Airflow.

    Raises:
        CollectionError: the host has an Airflow connection, and there is no Airflow.
    """
    if host.tls is not None:
        # the hook could only add a login to an image registry, which asking doesn't need
        return lambda timeout_s, files: _TlsClient(
            base_url=host.url, version="auto", timeout=math.ceil(timeout_s), tls=_tls(host, files)
        )
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
        return lambda timeout_s, _: APIClient(
            base_url=host.url, version="auto", timeout=math.ceil(timeout_s)
        )

    def from_hook(timeout_s: float, _: CertificateFiles | None) -> APIClient:
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


def _tls(host: EngineHost, files: CertificateFiles | None) -> TLSConfig:
    files = files or CertificateFiles(None, None, None)
    try:
        return TLSConfig(client_cert=files.client, ca_cert=files.ca, verify=True)
    except TLSParameterError as error:
        raise CollectionError(f"container_stats.hosts: {host.name}: tls: {error.args[0]}") from None


def widen(client: APIClient, connections: int) -> None:
    """Let the client keep so many connections; from the eleventh on it would open each anew."""
    adapter = client.get_adapter(client.base_url)
    if isinstance(adapter, UnixHTTPAdapter):
        adapter.max_pool_size = connections
        adapter.pools.clear()
    elif isinstance(adapter, HTTPAdapter):
        adapter.init_poolmanager(1, connections)


def probe(url: str, timeout_s: float, *, tls: bool) -> None:
    """Connect and hang up: tells what the client's own errors bury, such as "permission denied".

    Raises:
        OSError: nobody listens there, or one isn't let in.
    """
    parts = urlsplit(parse_host(url, tls=tls))
    if parts.scheme == "http+unix":
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as peer:
            peer.settimeout(timeout_s)
            peer.connect(parts.path)
    else:
        socket.create_connection((str(parts.hostname), parts.port or 2375), timeout_s).close()
