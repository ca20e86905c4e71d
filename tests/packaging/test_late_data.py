"""The picture in docs/history.md is what its script draws, and shows what the page says of it."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "docs" / "late_data.py"


@pytest.fixture(scope="module")
def late_data():
    # by its path: packages that are installed may have put a folder docs beside ours
    spec = spec_from_file_location("late_data", PATH)
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def test_late_data_joins_two_episodes_and_the_acknowledgement_goes_along(
    late_data, sqlite_store, tmp_path
):
    before, after = late_data.run(sqlite_store, tmp_path)
    assert [(one.state, one.first, one.stop) for one in before.history] == [
        ("pending", 4, 6),
        ("pending", 9, 11),
        ("firing", 11, 13),
    ]
    assert [(one.state, one.first, one.stop) for one in after.history] == [
        ("pending", 4, 6),
        ("firing", 6, 13),
    ]
    assert before.acknowledged == before.history[1].alert_id
    assert after.acknowledged == after.history[0].alert_id == before.history[0].alert_id
    assert before.classes[14:17] == ("unknown",) * 3
    assert "unknown" not in after.classes


def test_the_committed_picture_is_the_one_that_is_drawn(late_data, sqlite_store, tmp_path):
    drawn = late_data.draw(*late_data.run(sqlite_store, tmp_path))
    assert late_data.IMAGE.read_text(encoding="utf-8") == drawn, (
        "draw it again: .venv/bin/python docs/late_data.py"
    )
