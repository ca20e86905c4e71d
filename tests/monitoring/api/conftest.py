"""The API on a real server, for browsers and for curl."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, create_key

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


@pytest.fixture
def asking(store: Store) -> Iterator[TestClient]:
    """A client with a key of all scopes, named ``ops``, on each dialect."""
    _, key = create_key(store, "ops", SCOPES, by="test", now=datetime.now(UTC))
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: store
    headers = {"Authorization": f"Bearer {key}"}
    yield TestClient(app, raise_server_exceptions=False, headers=headers)
    app.dependency_overrides.clear()
