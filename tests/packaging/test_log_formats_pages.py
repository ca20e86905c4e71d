"""docs/log_formats/ is true: a page a format, whose configuration and examples are tried."""

from __future__ import annotations

import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.cli.log_writers import WRITERS

from include.collectors.config import Settings
from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.formats import FORMATS
from include.collectors.request_logs.formats.mapped_json import MappedJson
from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT
from include.collectors.request_logs.parse import Parser
from include.collectors.request_logs.settings import LogSource
from tests.servers.upstream import program

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "log_formats"
_BLOCK = re.compile(r"^```(?P<kind>[^\n]+)\n(?P<text>.*?)^```$", re.M | re.S)


def blocks(name: str) -> dict[str, str]:
    """The page's blocks, by what stands at their beginning."""
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return {found["kind"]: found["text"] for found in _BLOCK.finditer(page)}


def source_of(name: str) -> tuple[Settings, LogSource]:
    settings = Settings.model_validate(yaml.safe_load(blocks(name)["yaml sources"]))
    (source,) = settings.request_logs.sources
    return settings, source


def test_there_is_a_page_of_every_format_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {*FORMATS, "README"}
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\w+)\]\(\1\.md\) ", index, re.M) == list(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_source_reads_its_pages_line_to_the_request_that_is_shown(name: str) -> None:
    settings, source = source_of(name)
    assert source.format == name
    assert f"`format: {name}`" in (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    with Parser(source, settings.request_logs) as parser:
        found = parser.requests(Block(0, blocks(name)["text"].encode()))
    assert found.samples == []
    out = io.BytesIO()
    with WRITERS["json"](out) as write:
        write(found.rows)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        json.loads(blocks(name)["json"])
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_a_page_says_how_to_configure_the_gateway(name: str) -> None:
    found = [kind for kind in blocks(name) if kind not in ("yaml sources", "text", "json")]
    assert found or name == "mapped_json"
    for kind in found:
        if kind.startswith("yaml"):
            assert yaml.safe_load(blocks(name)[kind])


def test_the_nginx_json_page_has_the_modules_directive() -> None:
    assert LOG_FORMAT in blocks("nginx_json")["nginx"]


def test_the_mapped_page_names_every_field() -> None:
    page = (FOLDER / "mapped_json.md").read_text(encoding="utf-8")
    fields: Any = MappedJson.model_json_schema()["properties"]["fields"]["propertyNames"]["enum"]
    assert [name for name in fields if not re.search(rf"\b{name}\b", page)] == []


def _accepted(command: list[str], folder: Path, configuration: str) -> None:
    path = folder / "configuration"
    path.write_text(configuration)
    result = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.nginx
@pytest.mark.parametrize(
    "name", ["nginx_combined", "nginx_json", "nginx_log_format", "nginx_error"]
)
def test_nginx_takes_the_pages_configuration(name: str, tmp_path: Path) -> None:
    snippet = blocks(name)["nginx"].replace("/var/log/nginx", str(tmp_path))
    _accepted(
        [program("nginx", "nginx-light"), "-t", "-p", str(tmp_path), "-c"],
        tmp_path,
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{snippet}\n}}\n",
    )


@pytest.mark.apache
@pytest.mark.parametrize("name", ["apache_common", "apache_combined", "apache_log_format"])
def test_apache_takes_the_pages_configuration(name: str, tmp_path: Path) -> None:
    modules = "".join(
        f"LoadModule {module}_module {path}\n"
        for module in ("mpm_event", "log_config", "logio")
        if (path := Path(f"/usr/lib/apache2/modules/mod_{module}.so")).exists()
    )
    snippet = blocks(name)["apache"].replace("/var/log/apache2", str(tmp_path))
    _accepted(
        [program("apache2", "apache2-bin"), "-t", "-d", str(tmp_path), "-f"],
        tmp_path,
        f"ServerName gateway\nErrorLog {tmp_path}/error.log\n{modules}{snippet}",
    )


@pytest.mark.haproxy
@pytest.mark.parametrize("name", ["haproxy_http", "haproxy_tcp"])
def test_haproxy_takes_the_pages_configuration(name: str, tmp_path: Path) -> None:
    _accepted(
        [program("haproxy", "haproxy"), "-c", "-f"],
        tmp_path,
        blocks(name)["haproxy"] + "listen app\n    bind 127.0.0.1:1\n    server a 127.0.0.1:2\n",
    )
