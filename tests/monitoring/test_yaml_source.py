from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from monitoring.yaml_source import field_name, invalid, load_yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from userdb.errors import ConfigError, PolicyError

TEXT = """\
# a comment
defaults: &defaults
  window: 5m
policies:
  - name: one
    <<: *defaults
    by:
      - service
      - route
  - name: two
    threshold: high
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(TEXT)
    return path


def test_locates_each_part_of_a_document(file: Path) -> None:
    data, locate = load_yaml(file)
    assert data["policies"][0]["window"] == "5m"
    assert locate(()) == 2
    assert locate(("policies",)) == 4
    assert locate(("policies", 0)) == 5
    assert locate(("policies", 0, "by", 1)) == 9
    assert locate(("policies", 1, "threshold")) == 11
    assert locate(("policies", 0, "window")) == 3, "merged from line 3"
    assert locate(("policies", 1, "absent")) == 10, "the enclosing mapping's line"
    assert locate(("policies", 1, "function-before", "threshold")) == 11, "a union's member"
    assert locate(("policies", 9)) == 4


def test_a_field_is_named_as_people_write_it() -> None:
    assert field_name(("policies", 0, "by", 1)) == "policies[0].by[1]"
    assert field_name(()) == "(file)"


class _Policy(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    threshold: int = 0
    kind: str = ""


class _Policies(BaseModel):
    policies: list[_Policy]


def test_every_mistake_of_a_file_is_told_with_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("policies:\n  - name: a\n    threshold: sekret\n  - thershold: 3\n")
    data, locate = load_yaml(path, PolicyError)
    with pytest.raises(ValidationError) as caught:
        _Policies.model_validate(data)
    error = invalid(path, locate, caught.value, PolicyError)
    assert isinstance(error, PolicyError)
    lines = str(error).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{path}:3: policies[0].threshold: Input should be a valid integer")
    assert lines[1] == f"{path}:4: policies[1].name: Field required"
    assert lines[2].startswith(f"{path}:4: policies[1].thershold: Extra inputs")
    assert "sekret" not in str(error)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: 1\nb: [1\n", "2|3"),
        (b"a: 1\nb: 2\na: 3\n", "3: the key 'a' is given twice"),
        (b"a: \xff\n", "is not UTF-8"),
        (b"a: 1\n---\nb: 2\n", "2: but found another document"),
        (b"a: !!python/object:os.system {}\n", "1: could not determine a constructor"),
        (b"a: \x07\n", "is not YAML"),
        (b"at: 2026-13-01\n", "is not YAML"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=told) as caught:
        load_yaml(path, PolicyError)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: can't be read: No such file"):
        load_yaml(tmp_path / "none.yaml")


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    data, locate = load_yaml(path)
    assert data is None
    assert locate(("a",)) == 1


def test_does_not_import_sqlalchemy() -> None:
    program = "import sys, monitoring.yaml_source; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
