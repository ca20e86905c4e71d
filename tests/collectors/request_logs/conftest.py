"""Parsers that tests share: making one takes longer than most tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from include.collectors.request_logs.parse import Parser
from tests.collectors.request_logs.parsing import parser_of

ParserOf = Callable[..., Parser]


@pytest.fixture(scope="session")
def shared_parser() -> Iterator[ParserOf]:
    """A parser of a format, and of what a source says beside it; made once."""
    made: dict[str, Parser] = {}
    with ExitStack() as stack:

        def get(log_format: str, **source: Any) -> Parser:
            key = log_format + json.dumps(source)
            if key not in made:
                made[key] = stack.enter_context(parser_of(log_format, **source))
            return made[key]

        yield get
