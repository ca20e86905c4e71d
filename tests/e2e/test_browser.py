"""Airflow's pages as a person sees them, in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from demo.supervisor import USER
from tests.e2e.conftest import BY_HAND, DAG, Platform
from tests.servers.chromium import fill, keep, run_chromium, see, until

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.browser]

TASKS = (
    "gateway_exceptions",
    "request_logs",
    "container_stats",
    "score_policies",
    "update_alerts",
    "notify",
    "watcher",
)


@pytest.fixture(scope="module")
def browser(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Chromium, logged in to the running Airflow."""
    with run_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.get(platform.server.url)
        fill(driver, "username", USER)
        fill(driver, "password", platform.server.password)
        driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        see(driver, "Dags")
        # the graph, with both groups open, instead of the grid
        for key, value in (
            ("default_dag_view", "graph"),
            (f"{DAG}/open-groups", ["collect", "analysis"]),
        ):
            driver.execute_script(
                "localStorage.setItem(arguments[0], arguments[1])", key, json.dumps(value)
            )
        yield driver


def test_the_graph_shows_the_chain_after_a_run(browser: WebDriver, platform: Platform) -> None:
    window = platform.incident.window(BY_HAND, BY_HAND + 60)
    run_id = platform.trigger(window)
    run = platform.finished(run_id)
    assert run["state"] == "success"
    browser.get(f"{platform.server.url}/dags/{DAG}/runs/{run_id}")
    see(browser, *TASKS, "Success", "Skipped")
    keep(browser, "monitoring_chain")


def click(driver: WebDriver, text: str) -> None:
    """Click what is labelled ``text``, as soon as it can be clicked."""
    path = f"//*[self::button or self::label][normalize-space(.)='{text}' or .//text()='{text}']"

    def clicked() -> bool:
        for element in driver.find_elements(By.XPATH, path):
            if element.is_displayed() and element.is_enabled():
                element.click()
                return True
        return False

    until(driver, clicked, f"{text} to click")


def pick(driver: WebDriver, at: datetime) -> None:
    """Fill in the first date and time of the form that is still empty."""
    driver.find_element(By.XPATH, "//*[text()='Select date and time']").click()
    for hint, text in (("YYYY", f"{at:%Y/%m/%d}"), ("HH", f"{at:%H:%M}")):
        found = (By.CSS_SELECTOR, f"input[placeholder^='{hint}']")
        until(driver, lambda found=found: driver.find_elements(*found), f"the field {hint}")
        field = driver.find_element(*found)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
    driver.find_element(By.XPATH, "//*[text()='Date Range']").click()
    until(driver, lambda: not driver.find_elements(*found), "the calendar to close")


def test_the_forms_trigger_a_run_with_a_window_and_a_backfill(
    browser: WebDriver, platform: Platform
) -> None:
    browser.get(f"{platform.server.url}/dags/{DAG}")
    click(browser, "Trigger")
    see(browser, "Single Run", "Window start (UTC)", "Window end (UTC)", "Notify receivers")
    keep(browser, "trigger_form")
    click(browser, "Backfill")
    see(browser, "Date Range")
    # two windows that no other test touches
    first, last = (platform.incident.at(BY_HAND + minutes) for minutes in (70, 75))
    pick(browser, first)
    pick(browser, last)
    see(browser, "2 runs will be triggered.")
    keep(browser, "backfill_form")
    click(browser, "Run Backfill")

    def runs() -> list[dict[str, str]]:
        query = {"logical_date_gte": first.isoformat(), "logical_date_lte": last.isoformat()}
        found: list[dict[str, str]] = platform.server.api.get(f"/dags/{DAG}/dagRuns", **query)[
            "dag_runs"
        ]
        return [run for run in found if run["run_type"] == "backfill"]

    platform.wait(lambda: len(runs()) == 2, "the backfill's runs")
    platform.wait(lambda: {run["state"] for run in runs()} == {"success"}, "the runs to end")

    platform.backfills_ended()
