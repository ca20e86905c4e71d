"""``monitoring logs``: gateways' log files, looked at; nothing is stored of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitoring.cli.options import note, opened_store
from userdb.errors import ConfigError, SchemaError, UserdbUnavailable

if TYPE_CHECKING:
    from include.collectors.request_logs.lookup import Lookup
    from include.collectors.request_logs.settings import LogSource

logs = typer.Typer(help="Gateways' log files.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(help="a log file; .gz and .zst too", metavar="FILE")]


@logs.command("detect")
def logs_detect(
    file: _File,
    rows: Annotated[int, typer.Option(help="requests shown", min=0)] = 5,
) -> None:
    """Name a log's format, how sure that is, and show its first requests."""
    from include.collectors.request_logs.detect import detect
    from include.collectors.request_logs.reading import read_head
    from monitoring.cli.log_output import print_candidates

    if not print_candidates(detect(read_head(file)), rows):
        raise typer.Exit(1)


@logs.command("parse")
def logs_parse(
    file: _File,
    log_format: Annotated[
        str | None, typer.Option("--format", help="a log format; default: the one detected")
    ] = None,
    options: Annotated[
        str | None, typer.Option(help="the format's options, YAML or JSON: '{log_format: …}'")
    ] = None,
    timezone: Annotated[str, typer.Option(help="of times that name none")] = "UTC",
    source: Annotated[
        str | None,
        typer.Option(
            help="as this source in sources.yaml, with its services, routes, and what the route "
            "table and the registry said at the time"
        ),
    ] = None,
    output: Annotated[str, typer.Option(help="json (an object a line), csv or parquet")] = "json",
) -> None:
    """Print a log's requests on stdout, and on stderr what could not be read."""
    from include.collectors.request_logs.lookup import NOTHING
    from include.collectors.request_logs.parse import Parser
    from include.collectors.request_logs.reading import Reading, open_log
    from include.collectors.request_logs.settings import RequestLogsSettings
    from monitoring.cli.log_output import Tally
    from monitoring.cli.log_writers import WRITERS

    if output not in WRITERS:
        raise typer.BadParameter(f"{output!r} is no output; choose {', '.join(WRITERS)}")
    chosen = _source(file, log_format, options, timezone, source)
    lookup = NOTHING if source is None else _lookup(file, chosen)
    with (
        Parser(chosen, RequestLogsSettings(), lookup) as parser,
        open_log(file) as stream,
        WRITERS[output](sys.stdout.buffer) as write,
    ):
        reading, tally = Reading(file, stream), Tally(chosen.format)
        for found in reading.requests(parser):
            write(found.rows)
            tally.add(found)
    tally.print(reading)
    if not tally.lines and tally.rejected:
        raise typer.Exit(1)


def _lookup(file: Path, source: LogSource) -> Lookup:
    """The collector's look-ups at the time of the file's lines; none where userdb has none."""
    from include.collectors.request_logs.lookup import NOTHING, read_lookup
    from include.collectors.request_logs.parse import Parser
    from include.collectors.request_logs.reading import time_range
    from include.collectors.request_logs.settings import RequestLogsSettings

    if not (source.route.table or source.instance.registry):
        return NOTHING
    try:
        with opened_store() as store:
            with Parser(source, RequestLogsSettings()) as parser:
                span = time_range(file, parser)
            return NOTHING if span is None else read_lookup(store, source, span[0], span[1] + 1)
    except (UserdbUnavailable, SchemaError) as error:
        note(f"without the route table and the registry, as userdb can't be asked: {error}")
        return NOTHING


def _source(
    file: Path, log_format: str | None, options: str | None, timezone: str, name: str | None
) -> LogSource:
    """The log source that the command's options describe."""
    from include.collectors.config import load_settings, settings_path
    from include.collectors.request_logs.settings import LogSource

    if name is not None:
        sources = load_settings().request_logs.sources
        found = next((one for one in sources if one.name == name), None)
        if found is None:
            raise ConfigError(
                f"{settings_path()}: request_logs has no source {name!r}; it has "
                f"{', '.join(one.name for one in sources) or 'none'}"
            )
        return found
    if log_format is None:
        log_format = _detected(file)
    given: dict[str, Any] = {"options": _mapping(options), "timezone": timezone}
    return LogSource.model_validate(
        {"name": str(file), "paths": [str(file)], "format": log_format, **given}
    )


def _detected(file: Path) -> str:
    from include.collectors.request_logs.detect import LIKELY, detect
    from include.collectors.request_logs.reading import read_head

    found = detect(read_head(file))
    if not found or found[0].share < LIKELY:
        raise ConfigError(
            f"{file}: no log format takes most of its first lines; give --format (and --options "
            "for nginx_log_format, apache_log_format and mapped_json)"
        )
    note(f"format: {found[0].name} (detected)")
    return found[0].name


def _mapping(text: str | None) -> dict[str, Any]:
    import yaml

    if text is None:
        return {}
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"--options is not YAML: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--options is not a mapping; write {name: value}")
    return value
