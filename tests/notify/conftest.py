"""Tests of notifications say themselves who is told what, not the shipped routing.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_routing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "no-policies"
    folder.mkdir()
    monkeypatch.setenv("MONITORING_POLICIES", str(folder))
    monkeypatch.delenv("MONITORING_ROUTING", raising=False)
