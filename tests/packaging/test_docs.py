"""docs/policies.md is true: policies load, examples print what it says, all fields are named."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from monitoring.cli import app
from monitoring.policy.burn_rate import BurnWindows
from monitoring.policy.definition import Flapping
from monitoring.policy.kinds import KINDS
from monitoring.policy.loader import load_policies
from monitoring.scoring.classes import EvaluationClass
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "policies.md"
_PART = re.compile(
    r"^## (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\]\((?P<path>[^)#:]*)(?:#(?P<anchor>[^)]*))?\)")


@dataclass
class Section:
    """A second-level heading, and the blocks of code below it by language."""

    heading: str
    yaml: list[str] = field(default_factory=list)
    jsonl: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


def sections(page: Path = PAGE) -> list[Section]:
    found = [Section("")]
    for part in _PART.finditer(page.read_text(encoding="utf-8")):
        if part["heading"]:
            found.append(Section(part["heading"]))
        else:
            getattr(found[-1], part["language"]).append(part["text"])
    return found


def policy_blocks() -> Iterator[tuple[str, str]]:
    for section in sections():
        for block in section.yaml:
            if "policies" in yaml.safe_load(block):
                yield section.heading, block


BLOCKS = list(policy_blocks())
EXAMPLES = [one for one in sections() if one.text]


def write_files(section: Section, folder: Path) -> None:
    """The section's blocks, as the files that its commands name."""
    for block in section.yaml:
        name = "policies.yaml" if "policies" in yaml.safe_load(block) else "tests.yaml"
        (folder / name).write_text(block, encoding="utf-8")
    (folder / "samples.jsonl").write_text("".join(section.jsonl), encoding="utf-8")


def printed(command: str) -> str:
    """What ``$ bin/monitoring …`` prints, without blanks at the ends of lines."""
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "bin/monitoring"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return "\n".join(line.rstrip() for line in done.output.splitlines())


@pytest.mark.parametrize(("heading", "block"), BLOCKS, ids=[heading for heading, _ in BLOCKS])
def test_policies_on_the_page_are_valid(heading, block, tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text(block, encoding="utf-8")
    loaded = load_policies(path)
    assert loaded.errors == ()
    assert len(loaded.policies) == len(yaml.safe_load(block)["policies"])


@pytest.mark.parametrize("section", EXAMPLES, ids=lambda one: one.heading)
def test_worked_examples_print_what_the_page_says(section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(section, tmp_path)
    for block in section.text:
        command, _, expected = block.partition("\n")
        assert printed(command) == expected.rstrip("\n")


def test_every_kind_has_a_section_with_a_worked_example_of_that_kind():
    by_heading = {one.heading: one for one in sections()}
    for kind in KINDS:
        section = by_heading[kind]
        kinds = {
            policy.get("kind")
            for block in section.yaml
            for policy in yaml.safe_load(block).get("policies", ())
        }
        assert kind in kinds
        assert section.text, f"{kind} has no output of its example"


def is_named(name: str, common: str, own: str) -> bool:
    """Whether a field has a row in the common tables, or stands in the section of its kind."""
    return f"| `{name}` |" in common or re.search(rf"`{name}[`:]", own) is not None


def test_every_field_of_a_kind_is_named_in_its_section_or_in_the_common_tables():
    page = PAGE.read_text(encoding="utf-8")
    common, _, _ = page.partition("## The five classes")
    for kind, model in KINDS.items():
        own = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        for name, one in model.model_fields.items():
            assert is_named(one.alias or name, common, own), f"{kind}: {name}"


def test_the_page_names_the_classes_that_evaluations_have():
    page = PAGE.read_text(encoding="utf-8")
    classes = set(re.findall(r"^\| \*\*(\w+)\*\* \|", page, re.M))
    # the end of a series is told by forget
    assert classes == {one.name.lower() for one in EvaluationClass} - {"gone"}


@pytest.mark.parametrize(
    ("model", "heading"), [(Flapping, "## Fields of all kinds"), (BurnWindows, "## burn_rate")]
)
def test_the_parts_of_fields_are_named(model, heading):
    own = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    for name in model.model_fields:
        assert f"`{name}`" in own, name


def test_the_readme_leads_to_every_page():
    linked = {one["path"] for one in _LINK.finditer((ROOT / "README.md").read_text("utf-8"))}
    pages = {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")}
    assert {*pages, "docs/log_formats/README.md"} <= linked


@pytest.mark.parametrize(
    "name",
    ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md")))],
)
def test_links_within_the_project_lead_somewhere(name):
    page = ROOT / name
    for link in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
            assert link["anchor"] in anchors, link[0]
