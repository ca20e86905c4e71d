"""Kubernetes' pods and metrics as containers, use and events: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.collectors.container_stats.formulas import memory_percent
from include.collectors.container_stats.runtime import (
    Container,
    ContainerEvent,
    EventAction,
    Period,
    PodMember,
    Usage,
)
from include.collectors.container_stats.values import (
    count,
    exit_code,
    parse_time,
    small_count,
    text,
)
from include.collectors.manifests.quantity import parse_quantity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A container waits for these as it should.
_STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})
_OUT_OF_MEMORY = "OOMKilled"

Document = Mapping[str, Any]
#: What containers use, by namespace, pod and container.
Metrics = Mapping[tuple[str, str, str], Document]


@dataclass(frozen=True)
class Ended:
    """An end of a container: now, or before its present state."""

    at: datetime
    exit_code: int | None
    reason: str


def parse_metrics(items: Iterable[Document]) -> dict[tuple[str, str, str], Document]:
    """``usage`` of ``PodMetrics`` documents; what makes no sense is left out."""
    found: dict[tuple[str, str, str], Document] = {}
    for item in items:
        meta = _mapping(_mapping(item).get("metadata"))
        for one in _list(_mapping(item).get("containers")):
            key = (text(meta.get("namespace")), text(meta.get("name")), text(one.get("name")))
            found[key] = _mapping(one.get("usage"))
    return found


def parse_pod(pod: Document, metrics: Metrics, read_after_s: float) -> list[Container]:
    """The containers of a pod that are there to be watched.

    None of a pod that ended well. Of init containers those that run, or keep the pod from running.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it isn't a pod.
    """
    status: Document = pod["status"]
    if status.get("phase") == "Succeeded":
        return []
    spec: Document = pod["spec"]
    told = {text(one["name"]): one for one in _list(status.get("containerStatuses"))}
    found = [
        _container(pod, one, told.get(text(one["name"])), metrics, read_after_s)
        for one in spec["containers"]
    ]
    first = {text(one["name"]): one for one in _list(spec.get("initContainers"))}
    for one in _list(status.get("initContainerStatuses")):
        name = text(one["name"])
        state = _mapping(one.get("state"))
        waiting = text(_mapping(state.get("waiting")).get("reason") or "")
        ended = _mapping(state.get("terminated"))
        if name in first and (
            "running" in state or waiting not in _STARTING or ended.get("exitCode")
        ):
            found.append(_container(pod, first[name], one, metrics, read_after_s))
    return found


def _container(
    pod: Document, spec: Document, told: Document | None, metrics: Metrics, read_after_s: float
) -> Container:
    meta: Document = pod["metadata"]
    member = PodMember(text(meta["namespace"]), text(meta["name"]), text(spec["name"]))
    told = told or {}
    state, reason = _state(pod, told)
    started = parse_time(_mapping(_mapping(told.get("state")).get("running")).get("startedAt"))
    last = next(iter(ends(told)), None)
    code = None if last is None else last.exit_code
    always = pod["spec"].get("restartPolicy", "Always") == "Always"
    stuck = state == "waiting" and reason not in _STARTING
    limits = _mapping(_mapping(spec.get("resources")).get("limits"))
    memory_limit = _quantity(limits.get("memory"))
    limit = None if memory_limit is None else count(int(memory_limit))
    labels = {text(key): text(value) for key, value in _mapping(meta.get("labels")).items()}
    place = {"namespace": member.namespace, "node": text(pod["spec"].get("nodeName") or "")}
    return Container(
        container_id=text(f"{meta['uid']}/{member.container}", 128),
        name=f"{member.namespace}/{member.pod}/{member.container}",
        image=text(spec.get("image") or ""),
        labels={**place, **labels},
        state=state,
        reason=reason[:128] or None,
        restarts=small_count(told.get("restartCount")) or 0,
        read_after_s=read_after_s,
        health=_health(told) if state == "running" else None,
        exit_code=code,
        oom_killed=None if last is None else last.reason == _OUT_OF_MEMORY,
        created_at=parse_time(meta.get("creationTimestamp")),
        started_at=started,
        finished_at=None if last is None else last.at,
        usage=_usage(metrics, member, limit) if state == "running" else None,
        must_run=always or stuck or (state == "exited" and code != 0),
        cpu_limit_cores=_quantity(limits.get("cpu")),
        memory_limit_bytes=limit,
        member=member,
    )


def _state(pod: Document, told: Document) -> tuple[str, str]:
    """The state and its reason; of a container without status those of its pod."""
    state = _mapping(told.get("state"))
    if "running" in state:
        return "running", ""
    if "terminated" in state:
        return "exited", text(_mapping(state["terminated"]).get("reason") or "")
    if "waiting" in state:
        return "waiting", text(_mapping(state["waiting"]).get("reason") or "")
    status = pod["status"]
    if status.get("phase") == "Failed":
        return "exited", text(status.get("reason") or "")
    for one in _list(status.get("conditions")):
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return "waiting", text(one.get("reason") or "")
    return "waiting", text(status.get("reason") or "")


def _health(told: Document) -> str:
    """Whether a running container is ready; it is starting until its startup probe succeeded."""
    if told.get("ready"):
        return "healthy"
    return "starting" if told.get("started") is False else "unhealthy"


def ends(told: Document) -> Iterator[Ended]:
    """The ends that a container's status tells of, the newest first: at most two."""
    for key in ("state", "lastState"):
        ended = _mapping(_mapping(told.get(key)).get("terminated"))
        at = parse_time(ended.get("finishedAt"))
        if at is not None:
            yield Ended(at, exit_code(ended.get("exitCode")), text(ended.get("reason") or ""))


def pod_events(pod: Document, period: Period) -> list[ContainerEvent]:
    """The ends in ``period`` of a pod's containers, and whether memory ran out.

    An end of a pod that is being deleted was asked for.
    """
    meta: Document = pod["metadata"]
    images = {text(one["name"]): text(one.get("image") or "") for one in pod["spec"]["containers"]}
    found: list[ContainerEvent] = []
    for told in _list(pod["status"].get("containerStatuses")):
        name = text(told["name"])
        for end in ends(told):
            if not period.since < end.at <= period.until:
                continue
            actions: tuple[EventAction, ...] = ("die",)
            if end.reason == _OUT_OF_MEMORY:
                actions = ("oom", "die")
            found += [
                ContainerEvent(
                    container_id=text(f"{meta['uid']}/{name}", 128),
                    container=f"{meta['namespace']}/{meta['name']}/{name}",
                    image=images.get(name, ""),
                    labels={text(k): text(v) for k, v in _mapping(meta.get("labels")).items()},
                    action=action,
                    time_ns=(end.at - _EPOCH) // timedelta(microseconds=1) * 1000,
                    occurred_at=end.at,
                    exit_code=end.exit_code if action == "die" else None,
                    asked=action == "die" and bool(meta.get("deletionTimestamp")),
                )
                for action in actions
            ]
    return sorted(found, key=lambda event: event.time_ns)


def _usage(metrics: Metrics, member: PodMember, limit: int | None) -> Usage | None:
    usage = metrics.get((member.namespace, member.pod, member.container))
    if usage is None:
        return None
    cores, memory = _quantity(usage.get("cpu")), _quantity(usage.get("memory"))
    used = None if memory is None else count(int(memory))
    return Usage(
        cpu_percent=None if cores is None else cores * 100.0,
        memory_bytes=used,
        memory_limit_bytes=limit,
        memory_percent=memory_percent(used, limit),
    )


def _quantity(value: object) -> float | None:
    try:
        return None if value is None else parse_quantity(value)
    except ValueError:
        return None


def _mapping(value: object) -> Document:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Document]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
