"""Clusters: documents as an API server gives them, over a strict local server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.container_stats.kubernetes import KubernetesCluster
from include.collectors.container_stats.kubernetes_payload import parse_pod, pod_events
from include.collectors.container_stats.runtime import Container, Listing, Period
from include.collectors.container_stats.settings import EngineHost
from include.collectors.run import run_collector
from tests.collectors.container_stats.payloads import RUNNING, ended, pod_metrics, pod_of
from tests.servers.kubernetes_api import KubernetesApi, run_kubernetes_api
from tests.servers.pki import make_pki
from userdb.errors import CollectionError, ConfigError
from userdb.models import ContainerSample, MonitorEvent, Series
from userdb.store import Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PERIOD = Period(NOW - timedelta(minutes=5), NOW)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def api(pki: Path) -> Iterator[KubernetesApi]:
    with run_kubernetes_api(pki, [pod_of()], [pod_metrics()]) as api:
        yield api


def _ask(api: KubernetesApi, pki: Path, timeout_s: float = 5.0, **more: Any) -> Listing:
    fields = {"name": "k", "runtime": "kubernetes", "url": api.url, "token": "a-token"}
    host = EngineHost.model_validate({**fields, "tls": {"ca": f"{pki}/ca.pem"}, **more})
    return KubernetesCluster(host, timeout_s=timeout_s).containers(PERIOD)


def _only(*pods: dict[str, Any]) -> Container:
    (found,) = [one for pod in pods for one in parse_pod(pod, {}, 0.5)]
    return found


def test_a_container_and_what_it_uses(api: KubernetesApi, pki: Path) -> None:
    listing = _ask(api, pki)
    (found,) = listing.containers
    assert (listing.rejected, listing.events, listing.notes) == ((), (), ())
    assert found.container_id == "uid-web-5d8c7b9f6d-x2x4q/app"
    assert found.name == "prod/web-5d8c7b9f6d-x2x4q/app"
    assert (found.image, found.labels["app"]) == ("registry.example.org/web:2", "web")
    assert (found.labels["namespace"], found.labels["node"]) == ("prod", "node-1")
    assert (found.state, found.reason, found.health, found.restarts) == (
        "running",
        None,
        "healthy",
        0,
    )
    assert (found.exit_code, found.oom_killed, found.finished_at) == (None, None, None)
    assert found.created_at == datetime(2026, 3, 1, 7, 59, tzinfo=UTC)
    assert found.started_at == datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    assert (found.cpu_limit_cores, found.memory_limit_bytes) == (0.5, 256 * 2**20)
    assert found.usage is not None
    assert found.usage.cpu_percent == pytest.approx(12.3456789)
    assert (found.usage.memory_bytes, found.usage.memory_limit_bytes) == (64 * 2**20, 256 * 2**20)
    assert found.usage.memory_percent == pytest.approx(25.0)


def _waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": "back-off 5m0s"}}


@pytest.mark.parametrize(
    ("pod", "state", "reason", "exit_code", "must_run"),
    [
        (
            pod_of(state=_waiting("CrashLoopBackOff"), lastState=ended("Error", 1)),
            "waiting",
            "CrashLoopBackOff",
            1,
            True,
        ),
        (pod_of(state=_waiting("ImagePullBackOff")), "waiting", "ImagePullBackOff", None, True),
        (pod_of(state=_waiting("ContainerCreating")), "waiting", "ContainerCreating", None, True),
        (pod_of(state=ended("Error", 137)), "exited", "Error", 137, True),
        (pod_of(state=ended("Completed", 0)), "exited", "Completed", 0, True),
        (
            pod_of(state=ended("Completed", 0), spec={"restartPolicy": "Never"}),
            "exited",
            "Completed",
            0,
            False,
        ),
        (
            pod_of(state=ended("Error", 3), spec={"restartPolicy": "Never"}),
            "exited",
            "Error",
            3,
            True,
        ),
        (
            pod_of(state=_waiting("ContainerCreating"), spec={"restartPolicy": "OnFailure"}),
            "waiting",
            "ContainerCreating",
            None,
            False,
        ),
        (
            pod_of(state=_waiting("ErrImagePull"), spec={"restartPolicy": "OnFailure"}),
            "waiting",
            "ErrImagePull",
            None,
            True,
        ),
    ],
)
def test_states(
    pod: dict[str, Any], state: str, reason: str, exit_code: int | None, must_run: bool
) -> None:
    found = _only(pod)
    assert (found.state, found.reason, found.exit_code) == (state, reason, exit_code)
    assert found.must_run is must_run
    assert (found.health, found.usage) == (None, None)


def test_a_container_that_runs_again_after_memory_ran_out() -> None:
    found = _only(pod_of(restartCount=4, lastState=ended("OOMKilled", 137)))
    assert (found.state, found.restarts, found.oom_killed) == ("running", 4, True)
    assert (found.exit_code, found.finished_at) == (137, NOW - timedelta(minutes=2))


@pytest.mark.parametrize(
    ("ready", "started", "health"),
    [(True, True, "healthy"), (False, True, "unhealthy"), (False, False, "starting")],
)
def test_health_is_whether_it_is_ready(ready: bool, started: bool, health: str) -> None:
    assert _only(pod_of(ready=ready, started=started)).health == health


def test_a_pod_that_finds_no_node_waits_and_says_why() -> None:
    pod = pod_of(phase="Pending")
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pod["status"] = {"phase": "Pending", "conditions": [condition]}
    assert (_only(pod).state, _only(pod).reason) == ("waiting", "Unschedulable")
    pod["status"] = {"phase": "Failed", "reason": "Evicted"}
    assert (_only(pod).state, _only(pod).reason) == ("exited", "Evicted")


def test_a_pod_that_ended_well_is_nothing_to_watch() -> None:
    assert parse_pod(pod_of(phase="Succeeded", state=ended("Completed", 0)), {}, 0) == []


def test_init_containers_are_told_while_they_run_or_fail() -> None:
    first = [{"name": n, "image": f"{n}:1"} for n in ("done", "stuck", "next", "sidecar")]
    pod = pod_of(state=_waiting("PodInitializing"), phase="Pending", spec={"initContainers": first})
    states = (ended("Completed", 0), _waiting("CrashLoopBackOff"), _waiting("PodInitializing"))
    pod["status"]["initContainerStatuses"] = [
        {"name": one["name"], "state": state}
        for one, state in zip(first, (*states, RUNNING), strict=True)
    ]
    names = [one.name.rpartition("/")[2] for one in parse_pod(pod, {}, 0)]
    assert names == ["app", "stuck", "sidecar"]


def test_ends_since_the_last_collection_are_events() -> None:
    before = ended("OOMKilled", 137, "2026-03-01T11:57:00Z")
    pod = pod_of(state=ended("Error", 1, "2026-03-01T11:59:00Z"), lastState=before)
    found = pod_events(pod, PERIOD)
    assert [(one.action, one.exit_code, one.asked) for one in found] == [
        ("oom", None, False),
        ("die", 137, False),
        ("die", 1, False),
    ]
    assert found[0].container_id == _only(pod).container_id
    assert pod_events(pod, Period(NOW, NOW + timedelta(minutes=5))) == []
    deleted = pod_of(state=ended("Error", 143), meta={"deletionTimestamp": "2026-03-01T11:59:00Z"})
    assert [one.asked for one in pod_events(deleted, PERIOD)] == [True]


def test_all_pages_are_read_and_expired_ones_are_begun_again(api: KubernetesApi, pki: Path) -> None:
    api.pods = [pod_of(f"pod-{number}") for number in range(25)]
    api.page, api.expire = 10, 1
    assert len(_ask(api, pki).containers) == 25
    assert [len(query) for path, query in api.asked if path == "/api/v1/pods"] == [1, 2, 1, 2, 2]
    api.expire = 99
    with pytest.raises(CollectionError, match=r"HTTP 410: The provided continue parameter"):
        _ask(api, pki)


def test_only_the_namespaces_that_are_named_are_asked(api: KubernetesApi, pki: Path) -> None:
    api.pods = [
        pod_of("a", namespace="red"),
        pod_of("b", namespace="blue"),
        pod_of("c", namespace="x"),
    ]
    listing = _ask(api, pki, namespaces=["red", "blue"])
    assert [one.name for one in listing.containers] == ["red/a/app", "blue/b/app"]
    assert all("/namespaces/" in path for path, _ in api.asked)


def test_include_and_exclude_go_by_labels_namespace_and_node(api: KubernetesApi, pki: Path) -> None:
    api.pods = [pod_of("a", namespace="red"), pod_of("b", namespace="blue")]
    assert len(_ask(api, pki, exclude={"namespace": "r*"}).containers) == 1
    assert len(_ask(api, pki, include={"node": "node-2"}).containers) == 0


@pytest.mark.parametrize("status", [404, 403, 503])
def test_without_metrics_states_are_told(api: KubernetesApi, pki: Path, status: int) -> None:
    api.fail = lambda path: (status, "no metrics") if "metrics" in path else None
    listing = _ask(api, pki)
    assert [one.usage for one in listing.containers] == [None]
    assert listing.notes == (
        f"metrics.k8s.io tells nothing of CPU and memory: HTTP {status}: no metrics",
    )


def test_a_pod_that_makes_no_sense_costs_itself_only(api: KubernetesApi, pki: Path) -> None:
    broken = {"metadata": {"name": "broken", "namespace": "prod"}, "spec": {}}
    api.pods = [broken, pod_of()]
    listing = _ask(api, pki)
    assert len(listing.containers) == 1
    assert [(one.where, one.why) for one in listing.rejected] == [
        ("prod/broken", "is no pod: KeyError: 'status'")
    ]


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (401, "Unauthorized", r"HTTP 401: Unauthorized. its token is not valid; renew it"),
        (403, 'User "x" cannot list resource "pods"', r"cannot list resource.*let its account"),
        (500, "etcd is down", r"HTTP 500: etcd is down. look at its API server"),
    ],
)
def test_a_cluster_that_refuses(
    api: KubernetesApi, pki: Path, status: int, message: str, said: str
) -> None:
    api.fail = lambda _: (status, message)
    with pytest.raises(CollectionError, match=said):
        _ask(api, pki)


def test_a_cluster_that_hangs_costs_its_time_limit_only(api: KubernetesApi, pki: Path) -> None:
    def hang(_: str) -> None:
        time.sleep(4)

    api.fail = hang
    began = time.perf_counter()
    with pytest.raises(CollectionError, match=r"did not answer within 1.2 s"):
        _ask(api, pki, timeout_s=1.2)
    assert time.perf_counter() - began < 2.5


def test_a_cluster_of_another_authority_is_not_trusted(
    api: KubernetesApi, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pki}/ca.pem")
    with pytest.raises(CollectionError, match=r"CERTIFICATE_VERIFY_FAILED.*tls.ca"):
        _ask(api, pki, tls=None)
    assert api.asked == []


@pytest.mark.parametrize("how", ["setting", "file", "connection"])
def test_the_token_is_in_the_settings_a_file_or_a_connection(
    api: KubernetesApi, pki: Path, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("a-token\n")
    connection = {
        "password": "a-token",
        "host": None,
        "extra": json.dumps({"ca_cert": (pki / "ca.pem").read_text()}),
    }
    monkeypatch.setattr(
        "include.collectors.container_stats.credentials.connection_fields", lambda _: connection
    )
    given_: dict[str, dict[str, Any]] = {
        "setting": {"token": "a-token"},
        "file": {"token": None, "token_file": str(tmp_path / "token")},
        "connection": {"token": None, "connection": "cluster", "tls": None},
    }
    assert len(_ask(api, pki, **given_[how]).containers) == 1


def test_within_a_cluster_its_own_account_is_taken(
    api: KubernetesApi, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.collectors.container_stats.kubernetes.SERVICE_ACCOUNT", tmp_path)
    with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_HOST is not set"):
        _ask(api, pki, url="in-cluster", token=None)
    host, _, port = api.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    (tmp_path / "ca.crt").write_text((pki / "ca.pem").read_text())
    with pytest.raises(CollectionError, match=r"its token can't be read from .*/token"):
        _ask(api, pki, url="in-cluster", token=None, tls=None)
    (tmp_path / "token").write_text("a-token")
    assert len(_ask(api, pki, url="in-cluster", token=None, tls=None).containers) == 1


def test_no_error_tells_the_token(api: KubernetesApi, pki: Path) -> None:
    for token in ("wrong-c2VjcmV0", "two words c2VjcmV0"):
        with pytest.raises(CollectionError) as caught:
            _ask(api, pki, token=token)
        assert "c2VjcmV0" not in str(caught.value)


def test_a_token_is_not_sent_in_clear(api: KubernetesApi, pki: Path) -> None:
    with pytest.raises(CollectionError, match="a token is not sent without TLS"):
        _ask(api, pki, url="http://10.255.255.1:8080", tls=None)


def test_samples_and_events_of_a_cluster(
    api: KubernetesApi, pki: Path, sqlite_store: Store
) -> None:
    host = {"name": "k", "runtime": "kubernetes", "url": api.url, "token": "a-token"}
    host |= {"tls": {"ca": f"{pki}/ca.pem"}}
    collecting = Settings.model_validate({"container_stats": {"hosts": [host]}})
    for number in range(2):
        end = NOW + number * timedelta(minutes=5)
        window = Window(end - timedelta(minutes=5), end)
        report = run_collector(
            "container_stats", window, sqlite_store, now=end, settings=collecting
        )
        assert report.ok
        at = "2026-03-01T12:03:00Z"
        api.pods = [pod_of(restartCount=3, lastState=ended("OOMKilled", 137, at))]
    with sqlite_store.read() as connection:
        first, second = connection.execute(
            select(ContainerSample).order_by(ContainerSample.minute)
        ).all()
        labels = connection.scalar(select(Series.labels))
        events = connection.execute(select(MonitorEvent)).all()
    assert labels == {
        "container": "prod/web-5d8c7b9f6d-x2x4q/app",
        "service": "web",
        "image": "registry.example.org/web:2",
        "host": "k",
    }
    assert first.cpu_percent == pytest.approx(12.3456789)
    assert first.cpu_limit_percent == pytest.approx(24.6913578)
    assert (first.restarts_delta, first.exits, first.oom_kills, first.down) == (None, 0, 0, 0)
    assert (second.restarts_delta, second.exits, second.oom_kills) == (3, 1, 1)
    assert {(row.exception_type, row.level) for row in events} == {
        ("oom", "error"),
        ("die", "error"),
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["state", "running", "terminated", "waiting", "reason", "name", "image"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["metadata", "spec", "status"]), st.text(max_size=5), _JSON)
def test_whatever_a_pod_holds_is_a_container_or_an_error_that_is_known(
    part: str, key: str, value: Any
) -> None:
    pod = pod_of()
    keys = sorted(pod[part])
    pod[part][keys[len(key) % len(keys)]] = value
    try:
        parse_pod(pod, {}, 0.1)
        pod_events(pod, PERIOD)
    except (KeyError, TypeError, AttributeError, ValueError):
        return
