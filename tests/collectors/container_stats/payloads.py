"""What engines and clusters answer of a container: the documents of their APIs, shortened."""

from __future__ import annotations

from typing import Any

NEVER = "0001-01-01T00:00:00Z"


def inspect_answer(**state: Any) -> dict[str, Any]:
    return {
        "Id": "e9df76eef52845a8",
        "Created": "2026-03-01T11:00:00.123456789Z",
        "Name": "/sim",
        "RestartCount": 2,
        "Image": "sha256:957afaf7",
        "Config": {"Image": "sim:1.4", "Labels": {"com.docker.compose.service": "sim-engine"}},
        "State": {
            "Status": "running",
            "OOMKilled": False,
            "ExitCode": 0,
            "StartedAt": "2026-03-01T11:00:01Z",
            "FinishedAt": NEVER,
            **state,
        },
    }


def cgroup_v2() -> dict[str, Any]:
    """Docker 24 on cgroup v2, two samples."""
    return {
        "read": "2026-03-01T12:00:01Z",
        "preread": "2026-03-01T12:00:00Z",
        "pids_stats": {"current": 5, "limit": 18446744073709551615},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "read", "value": 1000},
                {"major": 8, "minor": 0, "op": "write", "value": 200},
            ]
        },
        "cpu_stats": {
            "cpu_usage": {"total_usage": 3_000_000_000},
            "system_cpu_usage": 50_000_000_000,
            "online_cpus": 4,
            "throttling_data": {"periods": 9, "throttled_periods": 4, "throttled_time": 777},
        },
        "precpu_stats": {
            "cpu_usage": {"total_usage": 2_000_000_000},
            "system_cpu_usage": 46_000_000_000,
            "online_cpus": 4,
        },
        "memory_stats": {
            "usage": 2_000_000,
            "stats": {"inactive_file": 500_000, "file": 600_000},
            "limit": 3_000_000,
        },
        "networks": {"eth0": {"rx_bytes": 11, "tx_bytes": 22}},
    }


RUNNING = {"running": {"startedAt": "2026-03-01T08:00:00Z"}}


def ended(reason: str, code: int, at: str = "2026-03-01T11:58:00Z") -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": "2026-03-01T11:50:00Z",
            "finishedAt": at,
            "containerID": "containerd://0a1b",
        }
    }


def pod_of(
    name: str = "web-5d8c7b9f6d-x2x4q",
    state: dict[str, Any] | None = None,
    *,
    phase: str = "Running",
    namespace: str = "prod",
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A pod with one container, ``app``, in ``state``; more of its status by keyword."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-03-01T07:59:00Z",
            "labels": {"app": "web", "pod-template-hash": "5d8c7b9f6d"},
            **(meta or {}),
        },
        "spec": {
            "nodeName": "node-1",
            "restartPolicy": "Always",
            "containers": [
                {
                    "name": "app",
                    "image": "registry.example.org/web:2",
                    "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
                }
            ],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": "app",
                    "image": "registry.example.org/web:2",
                    "imageID": "registry.example.org/web@sha256:00",
                    "containerID": "containerd://ffff",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": state or RUNNING,
                    "lastState": {},
                    **status,
                }
            ],
        },
    }


def pod_metrics(name: str = "web-5d8c7b9f6d-x2x4q", namespace: str = "prod") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "timestamp": "2026-03-01T11:59:40Z",
        "window": "15.012s",
        "containers": [{"name": "app", "usage": {"cpu": "123456789n", "memory": "65536Ki"}}],
    }
