"""The wheel holds what the chain needs besides its modules."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_BUILD = """
import sys
import hatchling.build
print(hatchling.build.build_wheel(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("pattern", ["include/**/*.yaml", "userdb/**/*.py", "include/**/*.py"])
def test_files_of_the_packages_are_in_it(names: set[str], pattern: str) -> None:
    expected = {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
    assert expected
    assert expected <= names


def test_the_plugin_is_registered_by_entry_point_and_lies_at_the_top(names: set[str]) -> None:
    assert "monitoring/plugin.py" in names
    assert any(name.endswith("/entry_points.txt") for name in names)


def test_nothing_of_tests_demo_or_machine_is_in_it(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"monitoring", "include", "userdb"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".sqlite")]
