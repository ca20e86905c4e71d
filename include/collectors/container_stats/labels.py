"""Which labels a container's series has, and which containers are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from include.collectors.container_stats.settings import EngineHost

#: Labels of a container that name its service, the first one that is there.
SERVICE_LABELS = ("service", "com.docker.compose.service", "app.kubernetes.io/name", "app")


def series_labels(*, name: str, image: str, labels: Mapping[str, str], host: str) -> dict[str, str]:
    """container, service, image and host; without the ones that are empty."""
    service = next((labels[label] for label in SERVICE_LABELS if labels.get(label)), "")
    found = {"container": name, "service": service, "image": image, "host": host}
    return {label: value for label, value in found.items() if value}


def is_wanted(host: EngineHost, name: str, image: str, labels: Mapping[str, object]) -> bool:
    """Whether ``host``'s include and exclude let a container through."""
    own = {str(key): str(value) for key, value in labels.items()}
    known = own | series_labels(name=name, image=image, labels=own, host=host.name)

    def matches(item: tuple[str, str]) -> bool:
        return fnmatchcase(known.get(item[0], ""), item[1])

    return all(map(matches, host.include.items())) and not any(map(matches, host.exclude.items()))
