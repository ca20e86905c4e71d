"""The Airflow plugin: nothing but registration.

Airflow loads it in every process, tasks too, through the entry point ``airflow.plugins``; so what
is registered is imported where it is asked for, which only the API server does.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class MonitoringPlugin(AirflowPlugin):  # type: ignore[misc]
    """Registers the HTTP API below /monitoring."""

    name = "monitoring"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        from monitoring.api.app import create_app
        from monitoring.api.auth import may_read

        return [
            {"name": "monitoring", "url_prefix": "/monitoring", "app": create_app(reader=may_read)}
        ]
