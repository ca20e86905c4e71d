"""Lines through a parser, without files or a database."""

from __future__ import annotations

import io
from typing import Any

from include.collectors.request_logs.blocks import read_blocks
from include.collectors.request_logs.parse import ParsedFile, Parser
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings

#: Later than any time of a log.
ALWAYS = 4_000_000_000_000_000


def parser_of(log_format: str, **source: Any) -> Parser:
    configured = {"name": "gateway", "paths": ["x"], "format": log_format, **source}
    return Parser(LogSource.model_validate(configured), RequestLogsSettings())


def parse(
    parser: Parser, data: bytes, block: int = 1 << 20
) -> tuple[ParsedFile, list[dict[str, Any]]]:
    """What parsing said, and the requests in the order of their lines."""
    parsed = parser.parse(
        read_blocks(io.BytesIO(data), 0, None, block),
        0,
        ALWAYS,
        window_us=(0, ALWAYS),
        stop_us=ALWAYS,
    )
    rows = parser.connection.sql("SELECT * FROM request ORDER BY byte_offset").to_arrow_table()
    return parsed, rows.to_pylist()


def rows_of(log_format: str, data: bytes, **source: Any) -> list[dict[str, Any]]:
    with parser_of(log_format, **source) as parser:
        return parse(parser, data)[1]
