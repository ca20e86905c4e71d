"""Docker Engine's JSON answers as ``Container`` and ``Usage``: pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from include.collectors.container_stats import formulas
from include.collectors.container_stats.runtime import Container, Usage
from include.collectors.container_stats.values import (
    count,
    exit_code,
    parse_time,
    small_count,
    text,
)

#: States in which a container has processes, and so something to measure.
MEASURABLE = frozenset({"running", "paused", "restarting"})


#: The container that holds a pod's network open; Podman has no other sign of it in this API.
_INFRA = re.compile(r"[0-9a-f]{12}-infra")


def is_podman(version: object) -> bool:
    """Whether the answer of ``GET /version`` is Podman's."""
    components = version.get("Components") if isinstance(version, Mapping) else None
    return isinstance(components, list) and any(
        isinstance(one, Mapping) and "podman" in str(one.get("Name")).lower() for one in components
    )


def parse_inspect(answer: Mapping[str, Any], read_after_s: float) -> Container:
    """The container that ``GET /containers/{id}/json`` describes, without usage.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: the answer isn't one.
    """
    state: Mapping[str, Any] = answer["State"]
    config: Mapping[str, Any] = answer.get("Config") or {}
    # Docker says "none" where a check was switched off, Podman an empty text
    health = state.get("Health") or {}
    status = text(health.get("Status") or "", 32).lower()
    has_check = status not in ("", "none")
    finished_at = parse_time(state.get("FinishedAt"))
    limits: Mapping[str, Any] = answer.get("HostConfig") or {}
    name = text(answer["Name"]).removeprefix("/")
    return Container(
        container_id=text(answer["Id"], 128),
        name=name,
        image=text(config.get("Image") or answer.get("Image") or ""),
        labels={text(key): text(value) for key, value in (config.get("Labels") or {}).items()},
        state=text(state["Status"], 32).lower(),
        restarts=small_count(answer.get("RestartCount")) or 0,
        read_after_s=read_after_s,
        health=status if has_check else None,
        failing_streak=small_count(health.get("FailingStreak")) if has_check else None,
        # before the first exit it says 0, which would be a success
        exit_code=None if finished_at is None else exit_code(state.get("ExitCode")),
        oom_killed=bool(state["OOMKilled"]) if "OOMKilled" in state else None,
        created_at=parse_time(answer.get("Created")),
        started_at=parse_time(state.get("StartedAt")),
        finished_at=finished_at,
        cpu_limit_cores=formulas.cpu_limit_cores(limits),
        memory_limit_bytes=count(limits.get("Memory")) or None,
        auxiliary=_INFRA.fullmatch(name) is not None,
    )


def parse_stats(answer: Mapping[str, Any], *, podman: bool = False) -> Usage | None:
    """What ``GET /containers/{id}/stats`` measured; None where it measured nothing.

    What Podman gives as the machine's CPU time leaves out the time in which CPUs were idle: a
    container alone on its machine would seem to use all of it. ``podman stats`` takes the clock.

    The answer for a container without processes has the shape of any other, with zeros in it.
    """
    cpu_stats: Mapping[str, Any] = answer.get("cpu_stats") or {}
    memory: Mapping[str, Any] = answer.get("memory_stats") or {}
    blocks: Mapping[str, Any] = answer.get("blkio_stats") or {}
    networks: Mapping[str, Any] | None = answer.get("networks")
    cpu = formulas.cpu_counters(cpu_stats)
    if podman and cpu is not None:
        cpu = formulas.by_the_clock(cpu, parse_time(answer.get("read")))
    used, limit = formulas.memory_used(memory), count(memory.get("limit"))
    if cpu is None and used is None:
        return None
    before = None if podman else formulas.cpu_counters(answer.get("precpu_stats") or {})
    throttling: Mapping[str, Any] = cpu_stats.get("throttling_data") or {}
    entries = blocks.get("io_service_bytes_recursive")
    return Usage(
        cpu=cpu,
        cpu_before=before,
        memory_bytes=used,
        memory_limit_bytes=limit,
        memory_percent=formulas.memory_percent(used, limit),
        pids=small_count((answer.get("pids_stats") or {}).get("current")),
        network_rx_bytes=formulas.network_total(networks, "rx_bytes"),
        network_tx_bytes=formulas.network_total(networks, "tx_bytes"),
        block_read_bytes=formulas.block_total(entries, "read"),
        block_write_bytes=formulas.block_total(entries, "write"),
        throttled_periods=count(throttling.get("throttled_periods")),
        throttled_ns=count(throttling.get("throttled_time")),
    )


def with_usage(container: Container, usage: Usage | None, read_after_s: float) -> Container:
    """The container with what was measured of it, read at a later time."""
    return replace(container, usage=usage, read_after_s=read_after_s)
