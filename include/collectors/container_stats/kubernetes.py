"""A Kubernetes cluster as a ``Runtime``: pods, and metrics.k8s.io for what they use.

Plain requests: three questions need no client library.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from include.collectors.container_stats.credentials import (
    Certificates,
    TlsSettings,
    as_files,
    certificates,
    connection_extra,
)
from include.collectors.container_stats.kubernetes_payload import (
    parse_metrics,
    parse_pod,
    pod_events,
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
from include.collectors.container_stats.settings import (
    IN_CLUSTER,
    ContainerStatsSettings,
    EngineHost,
)
from include.collectors.time_limit import call_all
from userdb.errors import CollectionError, ConfigError
from userdb.ledger import Rejected

#: Where a pod finds the account that it runs as.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PODS = "/api/v1"
_METRICS = "/apis/metrics.k8s.io/v1beta1"
_PAGE = 500
#: A list whose pages expired is begun again so often.
_TRIES = 3


@register_runtime("kubernetes")
def open_cluster(host: EngineHost, settings: ContainerStatsSettings) -> Runtime:
    """The cluster of ``host``; nothing is connected yet."""
    return KubernetesCluster(host, timeout_s=settings.time_limit(host))


class _Refused(Exception):
    """The API's answer was an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class KubernetesCluster:
    """One cluster, by the URL of its API."""

    def __init__(self, host: EngineHost, *, timeout_s: float) -> None:
        """Raises ConfigError where what the settings name isn't there."""
        self._host = host
        self._timeout_s = timeout_s
        self._url, default_ca = _address(host)
        extra: dict[str, Any] = {}
        if host.connection:
            extra = connection_extra(host.connection, f"container_stats.hosts: {host.name}")
        self._password = extra.get("password")
        found = certificates(host.tls or TlsSettings(), host.name)
        self._certificates = Certificates(
            found.ca or extra.get("ca_cert") or default_ca,
            found.cert or extra.get("client_cert"),
            found.key or extra.get("client_key"),
        )

    def containers(self, period: Period | None = None) -> Listing:
        """See ``Runtime.containers``. Of ends it is told the last two of each container."""
        began = time.perf_counter()
        with ExitStack() as stack:
            files = stack.enter_context(as_files(self._certificates))
            session = stack.enter_context(requests.Session())
            # neither .netrc, which would replace the token, nor REQUESTS_CA_BUNDLE
            session.trust_env = False
            session.verify = files.ca or True
            session.cert = files.client
            session.headers["Accept"] = "application/json"
            token = self._token()
            if token is not None:
                session.headers["Authorization"] = f"Bearer {token}"
            pods, metrics = call_all(
                [partial(self._list, session, root, began) for root in (_PODS, _METRICS)],
                workers=2,
                timeout_s=self._timeout_s,
            )
        if pods.value is None:
            raise self._unavailable(pods.error)
        notes: tuple[str, ...] = ()
        if metrics.value is None:
            why = "no answer in time" if metrics.error is None else _reason(metrics.error)
            notes = (f"metrics.k8s.io tells nothing of CPU and memory: {why}",)
        return self._listing(
            pods.value, metrics.value or [], period, time.perf_counter() - began, notes
        )

    def _listing(
        self,
        pods: list[Mapping[str, Any]],
        metrics: list[Mapping[str, Any]],
        period: Period | None,
        read_after_s: float,
        notes: tuple[str, ...],
    ) -> Listing:
        used = parse_metrics(metrics)
        containers: list[Container] = []
        rejected: list[Rejected] = []
        events: list[ContainerEvent] = []
        for pod in pods:
            try:
                found = parse_pod(pod, used, read_after_s)
                happened = pod_events(pod, period) if period is not None else []
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                rejected.append(Rejected(_name(pod), f"is no pod: {_reason(error)}"))
                continue
            containers += [one for one in found if self._wanted(one.name, one.image, one.labels)]
            events += [
                one for one in happened if self._wanted(one.container, one.image, one.labels)
            ]
        events.sort(key=lambda event: event.time_ns)
        told = tuple(events) if period is not None else None
        return Listing(tuple(containers), tuple(rejected), told, notes)

    def _wanted(self, name: str, image: str, labels: Mapping[str, str]) -> bool:
        return is_wanted(self._host, name, image, labels)

    def _list(self, session: requests.Session, root: str, began: float) -> list[Mapping[str, Any]]:
        """All pods (or their metrics), page by page, of the namespaces that are looked at."""
        namespaces = [f"/namespaces/{quote(n, safe='')}" for n in self._host.namespaces] or [""]
        found: list[Mapping[str, Any]] = []
        for namespace in namespaces:
            for attempt in range(_TRIES):
                try:
                    found += self._pages(session, f"{root}{namespace}/pods", began)
                    break
                except _Refused as error:
                    if error.status != requests.codes.gone or attempt == _TRIES - 1:
                        raise
        return found

    def _pages(self, session: requests.Session, path: str, began: float) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        following = ""
        while True:
            params = {"limit": str(_PAGE), **({"continue": following} if following else {})}
            rest = self._timeout_s - (time.perf_counter() - began)
            answer = session.get(
                f"{self._url}{path}",
                params=params,
                timeout=max(rest, 0.1),
                allow_redirects=False,
            )
            if answer.status_code != requests.codes.ok:
                raise _Refused(answer.status_code, _message(answer))
            page = answer.json()
            items = page.get("items") if isinstance(page, dict) else None
            if not isinstance(items, list):
                raise TypeError(f"its list of pods is {str(page)[:100]!r}")
            found += [one for one in items if isinstance(one, dict)]
            following = str((page.get("metadata") or {}).get("continue") or "")
            if not following:
                return found

    def _token(self) -> str | None:
        """The token now: the one in a file is renewed by the cluster."""
        path = self._host.token_file
        if self._host.token is not None:
            token: str | None = self._host.token.get_secret_value()
        elif self._password:
            token = str(self._password)
        elif path is not None or self._host.url == IN_CLUSTER:
            file = Path(path) if path is not None else SERVICE_ACCOUNT / "token"
            try:
                token = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CollectionError(
                    f"{self._where}: its token can't be read from {file}: {_reason(error)}; "
                    "correct container_stats.hosts: token_file"
                ) from None
        else:
            token = None
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise CollectionError(f"{self._where}: its token is none: it holds blanks")
        parts = urlsplit(self._url)
        if token and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise CollectionError(f"{self._where}: a token is not sent without TLS; use https://")
        return token or None

    @property
    def _where(self) -> str:
        return f"the cluster {self._host.name} at {self._host.url}"

    def _unavailable(self, error: Exception | None) -> CollectionError:
        if isinstance(error, _Refused):
            todo = {
                401: "its token is not valid; renew it",
                403: "let its account list pods and pods.metrics.k8s.io in all namespaces, or "
                "name those that it may see in container_stats.hosts: namespaces",
            }.get(error.status, "look at its API server")
            return CollectionError(f"{self._where} refuses to answer: {error}. {todo}")
        if error is None or isinstance(error, requests.Timeout):
            return CollectionError(
                f"{self._where} did not answer within {self._timeout_s:g} s. Look whether it "
                "hangs, or raise container_stats.timeout_s"
            )
        return CollectionError(
            f"{self._where} gave no usable answer: {_reason(error)}. Look whether it is the API "
            "of a cluster, and whether tls.ca is its authority"
        )


def _address(host: EngineHost) -> tuple[str, str | None]:
    """The API's URL, and the certificate authority that belongs to it if it is known."""
    if host.url != IN_CLUSTER:
        return host.url.rstrip("/"), None
    name = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not name:
        raise ConfigError(
            f"container_stats.hosts: {host.name}: url is in-cluster, and this process runs in no "
            "cluster: KUBERNETES_SERVICE_HOST is not set; give the API's URL"
        )
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    bracketed = f"[{name}]" if ":" in name else name
    return f"https://{bracketed}:{port}", str(SERVICE_ACCOUNT / "ca.crt")


def _name(pod: Mapping[str, Any]) -> str:
    meta = pod.get("metadata")
    if not isinstance(meta, Mapping):
        return "?"
    return f"{meta.get('namespace', '?')}/{meta.get('name', '?')}"


def _message(answer: requests.Response) -> str:
    """What a Status document says; else the beginning of the text."""
    try:
        told = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        told = answer.text
    return str(told).strip()[:300]


def _reason(error: BaseException) -> str:
    if isinstance(error, _Refused):
        return str(error)
    return f"{type(error).__name__}: {error}"
