"""Alerts and transitions in a stable form: the same facts export the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from monitoring.alerts.read import AlertRow, TransitionRow
from monitoring.alerts.transition import STATE_ORDER


def export_document(
    rows: Sequence[AlertRow], history: Sequence[TransitionRow]
) -> dict[str, list[dict[str, Any]]]:
    """Alerts and transitions without what depends on when they were recorded, sorted."""
    alerts = [{k: v for k, v in asdict(row).items() if k != "recorded_at"} for row in rows]
    transitions = [
        {k: v for k, v in asdict(row).items() if k not in ("recorded_at", "superseded_at")}
        for row in history
    ]
    alerts.sort(key=lambda row: (row["active_at"], row["policy"], row["id"]))
    transitions.sort(key=lambda row: (row["at"], row["alert_id"], STATE_ORDER[row["from_state"]]))
    return {"alerts": alerts, "transitions": transitions}
