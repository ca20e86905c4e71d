"""Which labels a container's series has."""

from __future__ import annotations

from collections.abc import Mapping

#: Labels of a container that name its service, the first one that is there.
SERVICE_LABELS = ("service", "com.docker.compose.service")


def series_labels(*, name: str, image: str, labels: Mapping[str, str], host: str) -> dict[str, str]:
    """container, service, image and host; without the ones that are empty."""
    service = next((labels[label] for label in SERVICE_LABELS if labels.get(label)), "")
    found = {"container": name, "service": service, "image": image, "host": host}
    return {label: value for label, value in found.items() if value}
