"""The page behind a message's link, as a person on a telephone sees it: in a real Chromium."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.alerts.read import get_alert
from monitoring.notify.tokens import Grant, make_token
from selenium.webdriver.common.by import By

from tests.monitoring.api.conftest import SECRET
from tests.notify.episodes import add_policy, put_alert
from tests.servers.chromium import fill, keep, run_chromium, see
from userdb.store import Store

pytestmark = pytest.mark.browser


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
