"""The page behind a message's link, as a person on a telephone sees it: in a real Chromium."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException
from monitoring.alerts.read import get_alert
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.notify.tokens import Grant, make_token
from selenium.webdriver.common.by import By

from tests.notify.episodes import add_policy, put_alert
from tests.servers.chromium import fill, keep, run_chromium, see
from userdb.store import Store

pytestmark = pytest.mark.browser

SECRET = "of-the-tests"


def _nobody() -> None:
    raise HTTPException(401, "Not authenticated")


@pytest.fixture
def url(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app below /monitoring, as Airflow mounts it, on a real server."""
    monkeypatch.setenv("MONITORING_CALLBACK_SECRET", SECRET)
    app = create_app(reader=_nobody)
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


def test_a_person_acknowledges_without_logging_in(
    url: str, sqlite_store: Store, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a", fired_at=now - timedelta(minutes=10))
    token = make_token(SECRET, Grant("a", "oncall"), now=now)
    with run_chromium(tmp_path / "chromium", size="500,900") as driver:
        driver.get(f"{url}/alerts/ack?token={token}")
        see(driver, "request-timeouts", "sim: 50% of requests time out", "firing since")
        keep(driver, "ack-ask")
        fill(driver, "by", "Ann")
        fill(driver, "note", "restarting the service")
        driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        see(driver, "Acknowledged. Thank you.")
        keep(driver, "ack-done")
        # the address that is left in the history names no token
        assert driver.current_url == f"{url}/alerts/ack"
        driver.get(f"{url}/alerts/ack?token=x{token}")
        see(driver, "This link does not work", "not genuine")
        keep(driver, "ack-refused")
    with sqlite_store.read() as connection:
        alert = get_alert(connection, "a")
    assert alert is not None
    assert alert.acknowledged_by == "Ann via oncall"
