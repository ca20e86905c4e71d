"""A client of Airflow's REST API, for the demo and the end-to-end tests."""

from __future__ import annotations

from typing import Any

import requests

_TIMEOUT_S = 120.0


class AirflowApiError(Exception):
    """Airflow refused a request; ``status`` is HTTP's, the text names what was asked."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """``/api/v2`` as one user. Paths are relative to it: ``api.get("/dags/monitoring_chain")``.

    A path that begins with ``//`` is relative to the server: ``api.get("//monitoring/api/…")``.
    """

    def __init__(self, base_url: str, user: str, password: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._credentials = {"username": user, "password": password}
        self._session = requests.Session()
        # a proxy of the machine's must not see, or break, what stays on the machine
        self._session.trust_env = False

    def get(self, path: str, **params: Any) -> Any:
        """GET; returns the decoded JSON."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Any:
        """POST a JSON body."""
        return self.request("POST", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH a JSON body."""
        return self.request("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        """DELETE."""
        self.request("DELETE", path)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Any request; logs in where that is needed.

        Raises:
            AirflowApiError: the answer's status is 400 or more.
            requests.RequestException: there was no answer.
        """
        url = self.base_url + (path[1:] if path.startswith("//") else f"/api/v2{path}")
        if "Authorization" not in self._session.headers:
            self.log_in()
        answer = self._session.request(method, url, timeout=_TIMEOUT_S, **options)
        if answer.status_code == requests.codes.unauthorized:  # the token expired
            self.log_in()
            answer = self._session.request(method, url, timeout=_TIMEOUT_S, **options)
        if not answer.ok:
            raise AirflowApiError(
                f"{method} {url} answered {answer.status_code}: {answer.text[:2000]}",
                answer.status_code,
            )
        return answer.json() if answer.content else None

    def log_in(self) -> str:
        """Fetch a token, use it from now on, and return it."""
        answer = self._session.post(
            f"{self.base_url}/auth/token", json=self._credentials, timeout=_TIMEOUT_S
        )
        if not answer.ok:
            raise AirflowApiError(
                f"login answered {answer.status_code}: {answer.text[:500]}", answer.status_code
            )
        token: str = answer.json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        return token

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
