"""A real Chromium without a window, and what tests do with its pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@contextmanager
def run_chromium(profile: Path, *, size: str = "1500,900") -> Iterator[WebDriver]:
    """Chromium with ``profile`` as its folder. Needs the marker ``browser`` on the test."""
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*_FLAGS, f"--window-size={size}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def fill(driver: WebDriver, name: str, value: str) -> None:
    until(driver, lambda: driver.find_elements(By.NAME, name), f"the field {name}")
    driver.find_element(By.NAME, name).send_keys(value)


def until(driver: WebDriver, condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; keeps a screenshot where it does not come to."""
    try:
        # a page that is being drawn replaces what was just found
        wait = WebDriverWait(driver, 60, ignored_exceptions=[StaleElementReferenceException])
        wait.until(lambda _: condition())
    except TimeoutException:
        keep(driver, "failed")
        raise AssertionError(f"{driver.current_url}: waited in vain for {what}") from None


def see(driver: WebDriver, *texts: str) -> None:
    """Wait until the page shows all of ``texts``."""

    def shown() -> bool:
        page = driver.find_element(By.TAG_NAME, "body").text
        return all(text in page for text in texts)

    until(driver, shown, f"the texts {texts}")


def keep(driver: WebDriver, name: str) -> None:
    """Save a screenshot where SCREENSHOTS names a folder."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder) / f"{name}.png"))
