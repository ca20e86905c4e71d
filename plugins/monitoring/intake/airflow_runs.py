"""Runs of the chain's DAG, seen and triggered over Airflow's REST API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import requests

from userdb.errors import ConfigError, MonitoringError

DAG = "monitoring_chain"
#: Where Airflow is: ``http://host:8080``, with ``user:password@`` or the two variables below.
URL_SETTING = "MONITORING_AIRFLOW_URL"
USER_SETTING, PASSWORD_SETTING = "MONITORING_AIRFLOW_USERNAME", "MONITORING_AIRFLOW_PASSWORD"
_TIMEOUT_S = 15


@dataclass(frozen=True)
class Run:
    """A run of the chain, ``active`` while it is queued or running."""

    run_id: str
    active: bool


class ChainRuns(Protocol):
    """Where runs of the chain are seen and triggered. Its errors are its own: any may come."""

    def newest(self, prefix: str) -> Run | None:
        """The run whose id begins with ``prefix`` that was triggered last."""

    def trigger(self, run_id: str, conf: Mapping[str, Any], run_after: datetime) -> bool:
        """Trigger a run, which begins at ``run_after``; False where there is one of that id."""


class AirflowError(MonitoringError):
    """Airflow can't be reached, or refuses."""


class RestRuns:
    """Runs of an Airflow that is elsewhere.

    Args:
        url: without a path of Airflow's, and without credentials.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._token: str | None = None

    @classmethod
    def from_environment(cls) -> RestRuns | None:
        """The Airflow that the settings name; None where they name none.

        Raises:
            ConfigError: the URL is not valid, or there is no user.
        """
        text = os.environ.get(URL_SETTING, "").strip()
        if not text:
            return None
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{URL_SETTING} is not a URL such as http://host:8080")
        user = unquote(parts.username or "") or os.environ.get(USER_SETTING, "")
        password = unquote(parts.password or "") or os.environ.get(PASSWORD_SETTING, "")
        if not user:
            raise ConfigError(f"{URL_SETTING} needs {USER_SETTING} and {PASSWORD_SETTING} too")
        return cls(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), user, password)

    def newest(self, prefix: str) -> Run | None:
        query = {"run_id_prefix_pattern": prefix, "order_by": "-id", "limit": "1"}
        found = self._call("GET", f"/api/v2/dags/{DAG}/dagRuns", params=query).json()["dag_runs"]
        if not found:
            return None
        return Run(found[0]["dag_run_id"], found[0]["state"] in ("queued", "running"))

    def trigger(self, run_id: str, conf: Mapping[str, Any], run_after: datetime) -> bool:
        body = {
            "dag_run_id": run_id,
            "logical_date": None,
            "run_after": run_after.isoformat(),
            "conf": dict(conf),
        }
        answer = self._call("POST", f"/api/v2/dags/{DAG}/dagRuns", json=body, expected=(409,))
        return answer.status_code != 409

    def _call(
        self, method: str, path: str, expected: tuple[int, ...] = (), **arguments: Any
    ) -> requests.Response:
        for attempt in (1, 2):
            token = self._token or self._login()
            headers = {"Authorization": f"Bearer {token}"}
            answer = self._send(method, path, headers=headers, **arguments)
            if answer.status_code != 401 or attempt == 2:
                break
            self._token = None  # it has expired
        if not answer.ok and answer.status_code not in expected:
            raise AirflowError(
                f"Airflow at {self.url} answers {answer.status_code} to {method} {path}: "
                f"{answer.text[:300]}"
            )
        return answer

    def _login(self) -> str:
        login = {"username": self._user, "password": self._password}
        answer = self._send("POST", "/auth/token", json=login)
        if not answer.ok:
            raise AirflowError(
                f"Airflow at {self.url} does not let {self._user} in ({answer.status_code})"
            )
        self._token = str(answer.json()["access_token"])
        return self._token

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            return requests.request(method, self.url + path, timeout=_TIMEOUT_S, **arguments)
        except requests.RequestException as error:
            raise AirflowError(
                f"Airflow at {self.url} can't be reached: {type(error).__name__}"
            ) from None
