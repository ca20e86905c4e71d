"""The Airflow plugin: nothing but registration.

Airflow loads it in every process, tasks too, through the entry point ``airflow.plugins``; so what
is registered is imported where it is asked for, which only the API server does.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class MonitoringPlugin(AirflowPlugin):  # type: ignore[misc]
    """Registers the HTTP API below /monitoring."""

    name = "monitoring"

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """In the API server, import the API at once.

        An error here is listed as the plugin's import error and the plugin is left out; later,
        it would end the API server.
        """
        if "airflow.api_fastapi.main" in sys.modules:
            _apps()

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        return _apps()


def _apps() -> list[dict[str, Any]]:
    from monitoring.api.app import create_app
    from monitoring.api.auth import airflow_login
    from monitoring.api.mounted_runs import mounted_runs

    app = create_app(login=airflow_login, runs=mounted_runs)
    return [{"name": "monitoring", "url_prefix": "/monitoring", "app": app}]
