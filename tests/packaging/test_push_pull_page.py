"""docs/push_pull.md is true: its batches are answered as it says, its settings are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store

from include.collectors.config import load_settings
from include.collectors.nodes import tally
from include.collectors.nodes.push import MAX_COVERED
from include.collectors.nodes.settings import PushSettings
from include.collectors.pull.settings import PullNode, PullSettings
from tests.monitoring.api.logins import anyone
from userdb.store import Store

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "push_pull.md").read_text(encoding="utf-8")
_TIME = re.compile(r"2026-03-01T[0-9:.]+(?:Z|\+00:00)")
#: The page's present.
_THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def moved(text: str) -> Any:
    """The JSON with its times as far from now as they are from the page's present."""
    shift = datetime.now(UTC).replace(second=0, microsecond=0) - _THEN

    def move(match: re.Match[str]) -> str:
        at = datetime.fromisoformat(match[0]) + shift
        return at.isoformat() if "+" in match[0] else at.isoformat().replace("+00:00", "Z")

    return json.loads(_TIME.sub(move, text))


@pytest.fixture
def client(sqlite_store: Store) -> Iterator[TestClient]:
    app = create_app(login=anyone)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    yield TestClient(app, headers={"Sec-Fetch-Site": "same-origin"})
    app.dependency_overrides.clear()


def test_batches_are_answered_as_the_page_says(client: TestClient) -> None:
    status, status_answer, batch, batch_answer = (moved(block) for block in blocks("json"))
    for path, body, answer in (
        ("/api/v1/container-status", status, status_answer),
        ("/api/v1/requests", batch, batch_answer),
    ):
        response = client.post(path, json=body)
        assert (response.status_code, response.json()) == (200, answer)


def test_pages_are_read_as_the_page_says(client: TestClient) -> None:
    paths = re.findall(r"^    GET (/\S+)\?since=CURSOR&limit=(\d+)$", PAGE, re.M)
    assert len(paths) == 3
    for path, limit in paths:
        page = client.get(path, params={"limit": limit}).json()
        assert all(f"`{name}`" in PAGE for name in page)
        again = client.get(path, params={"limit": limit, "since": page["cursor"]})
        assert again.json()["items"] == []


def test_the_settings_are_valid_and_every_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GW_1_KEY", "hidden")
    path = tmp_path / "sources.yaml"
    (text,) = blocks("yaml")
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path)
    assert (settings.pull.nodes[0].name, settings.push.nodes) == ("gw-1", ["gw-2", "gw-3"])
    for section, model in (("pull", PullSettings), ("push", PushSettings)):
        for name in model.model_fields:
            assert f"| `{section}.{name}` |" in PAGE, name
    for name in PullNode.model_fields:
        assert f"`{name}`" in PAGE, name


def test_the_bounds_are_those_of_the_code() -> None:
    assert timedelta(minutes=5) == tally.MAX_AHEAD
    assert timedelta(days=1) == tally.RAW_MAX_AGE == MAX_COVERED
    assert timedelta(days=30) == tally.MAX_AGE
    for words in ("5 minutes after now", "from the last day", "from the last 30 days"):
        assert words in re.sub(r"\s+", " ", PAGE)
