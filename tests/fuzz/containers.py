"""What engines, clusters and folders of manifests say of containers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.collectors.container_stats.docker_payload import parse_inspect, parse_stats, with_usage
from include.collectors.container_stats.engine_events import parse_events
from include.collectors.container_stats.event_rows import event_record, happened
from include.collectors.container_stats.kubernetes_payload import (
    parse_metrics,
    parse_pod,
    pod_events,
)
from include.collectors.container_stats.labels import series_labels
from include.collectors.container_stats.runtime import Container, ContainerEvent, Listing, Period
from include.collectors.container_stats.sample import sample_row
from include.collectors.container_stats.settings import EngineHost
from include.collectors.manifests.comparison import compare
from include.collectors.manifests.loader import load_manifests
from tests.collectors.container_stats.payloads import (
    cgroup_v2,
    ended,
    inspect_answer,
    pod_metrics,
    pod_of,
)
from tests.fuzz.storable import assert_storable
from tests.fuzz.target import Target
from userdb.series import fingerprint

_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_PERIOD = Period(_NOW - timedelta(minutes=5), _NOW)
#: What a payload that isn't what it should be raises: see the parsers' docstrings.
_REFUSED = (KeyError, TypeError, AttributeError, ValueError)
_STATES = ("running", "exited", "dead", "healthy", "unhealthy", "none", "OOMKilled")

_INSPECT = {
    **inspect_answer(
        ExitCode=137,
        StartedAt="2026-03-01T11:58:01Z",
        FinishedAt="2026-03-01T11:58:00Z",
        Health={"Status": "unhealthy", "FailingStreak": 3},
    ),
    "HostConfig": {"NanoCpus": 500000000, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 67108864},
}
_STATS = cgroup_v2()
_STATS["cpu_stats"]["cpu_usage"]["percpu_usage"] = [1, 2]


def _is_sample(container: Container, events: list[ContainerEvent] | None = None) -> None:
    row = sample_row(
        container,
        None,
        minute=1,
        series_id=1,
        observed_at=_NOW,
        since=_PERIOD.since,
        happened=happened(container, events, _PERIOD),
    )
    assert_storable("container_sample", row)
    labels = series_labels(
        name=container.name, image=container.image, labels=container.labels, host="here"
    )
    fingerprint(labels)
    for share in (row["cpu_percent"], row["memory_percent"]):
        assert share is None or share >= 0


def _are_rows(events: Iterable[ContainerEvent]) -> None:
    for event in events:
        assert _PERIOD.since < event.occurred_at <= _PERIOD.until
        assert_storable("monitor_event", vars(event_record(event, "here", _NOW)))


def _engine(data: bytes) -> None:
    document = _json(data)
    if not isinstance(document, list) or len(document) < 2:
        return
    inspect, stats = document[0], document[1]
    try:
        container = parse_inspect(inspect, 0.5)
    except _REFUSED:
        return
    _is_sample(container)
    for podman in (False, True):
        try:
            usage = parse_stats(stats, podman=podman)
        except _REFUSED:
            continue
        _is_sample(with_usage(container, usage, 0.6))


def _events(data: bytes) -> None:
    good = _event("die", exitCode="137")
    lines = data.split(b"\n")
    found = parse_events([good, *lines], _PERIOD)
    assert found.read == 1 + sum(bool(line.strip()) for line in lines)
    assert any(one.container_id == "id-sim" and one.exit_code == 137 for one in found.events)
    _are_rows(found.events)


def _event(action: str, mark: str = "id-sim", **attributes: str) -> bytes:
    at = int(_NOW.timestamp()) - 60
    actor = {"ID": mark, "Attributes": {"name": "sim", "image": "sim:1", **attributes}}
    told = {"Type": "container", "Action": action, "Actor": actor, "time": at}
    return json.dumps({**told, "timeNano": at * 10**9}).encode()


_POD = pod_of(
    spec={"initContainers": [{"name": "init", "image": "init:1"}]},
    restartCount=1,
    lastState=ended("OOMKilled", 137),
)
_POD["status"]["conditions"] = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
]
_POD["status"]["initContainerStatuses"] = [
    {"name": "init", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
]


def _cluster(data: bytes) -> None:
    document = _json(data)
    if not isinstance(document, list) or len(document) < 2 or not isinstance(document[0], dict):
        return
    metrics = document[1:] if isinstance(document[1], dict) else []
    used = parse_metrics(metrics)
    try:
        found = parse_pod(document[0], used, 0.5)
        events = pod_events(document[0], _PERIOD)
    except _REFUSED:
        return
    for container in found:
        _is_sample(container, events)
    _are_rows(events)


_MANIFESTS = b"""\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod, labels: {app: web}}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: web:2
          resources: {limits: {memory: 64Mi, cpu: 200m}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: w, image: w}]}}}}
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: c}]}}
"""
_GOOD = b"""\
apiVersion: v1
kind: Pod
metadata: {name: kept, namespace: alone}
spec: {containers: [{name: app, image: "app:1"}]}
"""


def _open_manifests() -> Callable[[bytes], None]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-manifests-"))
    # last, so that a document of the same name is told of before it
    (folder / "a.yaml").write_bytes(_GOOD)
    host = EngineHost(name="here", url="http://127.0.0.1:1")

    def check(data: bytes) -> None:
        (folder / "b.yaml").write_bytes(data)
        found = load_manifests(folder)
        assert (found.files, found.containers[0].workload) == (2, "Pod alone/kept")
        for problem in found.problems:
            assert problem.where.startswith("b.yaml:")
            str(problem).encode()
        for one in found.containers:
            for limit in (one.cpu_limit_cores, one.memory_limit_bytes):
                assert limit is None or limit >= 0
        listing, _ = compare(found, Listing(()), host)
        for container in listing.containers:
            _is_sample(container)

    return check


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


TARGETS = (
    Target(
        "docker_engine",
        lambda: _engine,
        (json.dumps([_INSPECT, _STATS]).encode(),),
        (*_STATES, "total_inactive_file", "Write"),
    ),
    Target(
        "engine_events",
        lambda: _events,
        (
            *(
                _event(action, "id-a", exitCode="1")
                for action in ("kill", "die", "oom", "health_status: unhealthy", "restart")
            ),
            _event("died", "id-b", containerExitCode="1"),
        ),
        (*_STATES, "die", "oom", "health_status", "HealthStatus", "exitCode", "timeNano"),
        lines=20,
    ),
    Target(
        "kubernetes_pods",
        lambda: _cluster,
        (json.dumps([_POD, pod_metrics()]).encode(),),
        (*_STATES, "terminated", "waiting", "Failed", "Succeeded", "Never", "10Ei", "1e99"),
    ),
    Target(
        "manifests",
        _open_manifests,
        (_MANIFESTS, _GOOD),
        (
            "kind",
            "Pod",
            "Job",
            "DaemonSet",
            "&a",
            "*a",
            "<<: *a",
            "!!python/object:x",
            "---",
            "|",
            "1e99",
        ),
    ),
)
