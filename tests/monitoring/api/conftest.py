"""The API on a real server, for browsers and for curl."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, create_key

from tests.monitoring.api.logins import nobody
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
    server = uvicorn.Server(uvicorn.Config(outer, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/monitoring"
        server.should_exit = True
        thread.join()
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
