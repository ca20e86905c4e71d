"""The pages behind a message's links, as a person sees them: in a real Chromium."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.alerts.read import get_alert
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.notify.tokens import Grant, make_token
from selenium.webdriver.common.by import By

from tests.monitoring.api.conftest import SECRET
from tests.monitoring.api.logins import viewer
from tests.monitoring.api.serving import serve
from tests.monitoring.facts import put_raw, put_requests
from tests.notify.episodes import NOW, add_policy, put_alert
from tests.servers.chromium import fill, keep, run_chromium, see
from userdb.store import Store
from userdb.times import to_minute

pytestmark = pytest.mark.browser


def test_a_person_sees_the_requests_that_an_alert_is_about(
    sqlite_store: Store, tmp_path: Path
) -> None:
    add_policy(sqlite_store, window="5m")
    put_alert(sqlite_store, "a", labels={"service": "sim"})
    instance = "10.0.0.7:8080"
    put_requests(
        sqlite_store,
        {to_minute(NOW) - 1: {"requests": 240, "timeout": 120}},
        source="gateway",
        route="/runs/{id}",
        instance=instance,
    )
    put_raw(
        sqlite_store,
        *(
            {
                "occurred_at": NOW - timedelta(seconds=seconds),
                "route": "/runs/{id}",
                "path": f"/runs/{seconds}/" + "with-a-long-name/" * seconds,
                "status": 504,
                "outcome": "timeout",
                "outcome_reason": "status=504",
                "duration_ms": 30000.0 + seconds,
                "request_id": f"5f2c{seconds:04x}",
                "instance": instance,
            }
            for seconds in (9, 5, 2)
        ),
    )
    app = create_app(login=viewer)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    with serve(app) as url:
        for size, name in (("1200,900", "alert"), ("420,1100", "alert-narrow")):
            with run_chromium(tmp_path / name, size=size) as driver:
                driver.get(f"{url}/alerts/a/history")
                see(driver, "request-timeouts", "240 requests, 120 timed out", "5f2c0002")
                see(driver, "Some of the requests", "timed out (status=504)", "30009 ms")
                keep(driver, name)
    app.dependency_overrides.clear()


def test_a_person_acknowledges_without_logging_in(
    served: str, sqlite_store: Store, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a", fired_at=now - timedelta(minutes=10))
    token = make_token(SECRET, Grant("a", "oncall"), now=now)
    with run_chromium(tmp_path / "chromium", size="500,900") as driver:
        driver.get(f"{served}/alerts/ack?token={token}")
        see(driver, "request-timeouts", "sim: 50% of requests time out", "firing since")
        keep(driver, "ack-ask")
        fill(driver, "by", "Ann")
        fill(driver, "note", "restarting the service")
        driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        see(driver, "Acknowledged. Thank you.")
        keep(driver, "ack-done")
        # the address that is left in the history names no token
        assert driver.current_url == f"{served}/alerts/ack"
        driver.get(f"{served}/alerts/ack?token=x{token}")
        see(driver, "This link does not work", "not genuine")
        keep(driver, "ack-refused")
    with sqlite_store.read() as connection:
        alert = get_alert(connection, "a")
    assert alert is not None
    assert alert.acknowledged_by == "Ann via oncall"
