"""userdb for tests that don't mind what others left in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from userdb.store import Store, open_store


@pytest.fixture(scope="module")
def shared_store(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """userdb on SQLite, migrated; one for all examples of a property."""
    path = tmp_path_factory.mktemp("shared") / "userdb.sqlite"
    shutil.copyfile(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()
