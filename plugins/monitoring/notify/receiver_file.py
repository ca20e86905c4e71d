"""The receivers in use: those of ``routing.yaml``, and those that the environment sets up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitoring.notify.connections import GetConnection
from monitoring.notify.receivers import Receivers, load_receivers
from monitoring.notify.routing.loader import load_routing


def configured_receivers(
    environ: Mapping[str, str] | None = None,
    get_connection: GetConnection | None = None,
    path: Path | None = None,
) -> Receivers:
    """The receivers of routing.yaml, of MONITORING_RECEIVERS and of MONITORING_WEBHOOK_URL.

    Args:
        path: of routing.yaml; default: the one in use, which may be absent.
    """
    found = load_routing(path)
    loaded = load_receivers(environ, get_connection, found.routing.receivers)
    return Receivers(loaded.usable, {**found.receiver_errors, **loaded.errors})
