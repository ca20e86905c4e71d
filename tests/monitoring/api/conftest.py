"""The API on a real server, for browsers and for curl."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from monitoring.api.app import create_app
from monitoring.api.store import get_store

from tests.monitoring.api.logins import nobody
from tests.monitoring.api.serving import serve
from userdb.store import Store

SECRET = "of-the-tests"


@pytest.fixture
def served(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the app below /monitoring, as Airflow mounts it, on a real server."""
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET", SECRET)
    app = create_app(login=nobody)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    outer = FastAPI()
    outer.mount("/monitoring", app)
    with serve(outer) as url:
        yield f"{url}/monitoring"
    app.dependency_overrides.clear()
