"""How ``monitoring`` commands write log lines: as text, or each as one JSON object.

``MONITORING_LOG_FORMAT`` is ``text`` (the default) or ``json``. Lines go to stderr: stdout is for
what a command has to say. Airflow writes the lines of its tasks itself: see docs/operating/logs.md.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from logging.config import dictConfig
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor

from userdb.errors import ConfigError

FORMAT_SETTING = "MONITORING_LOG_FORMAT"

#: Shorter values are words, and hiding them would garble every line.
_SHORTEST_SECRET = 6
#: Shorter path segments are words, longer ones may be a web hook's token.
_SHORTEST_PATH_TOKEN = 16
_SECRET_NAME = re.compile(r"(SECRET|PASSWORD|TOKEN|_KEY)(_PREVIOUS)?$")
_PASSWORD_OF_URL = re.compile(r"(?P<before>\w://[^\s/:@]*:)[^\s/@]+(?=@)")
_TOKEN_OF_LINK = re.compile(r"(?P<before>[?&](?:token|sentry_key)=)[^\s&\"']+")
_MASK = "***"


def writes_json(*, where_wrong: bool | None = None) -> bool:
    """Whether the environment asks for lines of JSON.

    Args:
        where_wrong: the answer where it names another format than text and json.

    Raises:
        ConfigError: it does, and there is no such answer.
    """
    name = os.environ.get(FORMAT_SETTING, "").strip().lower() or "text"
    if name not in ("text", "json"):
        if where_wrong is not None:
            return where_wrong
        raise ConfigError(f"{FORMAT_SETTING} is {name!r}; set it to text or json")
    return name == "json"


#: What ``logging.config.dictConfig`` takes for lines of JSON, in this process or another.
JSON_LINES: Mapping[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "monitoring.log_format.json_formatter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
            "formatter": "json",
        }
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    # it tells of each of its parts, at each command
    "loggers": {"alembic": {"level": "WARNING"}},
}


def write_json_lines() -> None:
    """Write this process's log lines as JSON, warnings of Python included."""
    dictConfig(dict(JSON_LINES))
    logging.captureWarnings(True)


def json_formatter() -> logging.Formatter:
    """Makes each record one line of JSON: timestamp, level, logger, event, what is bound, what was
    given as ``extra``, and ``exception`` with the traceback's text."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Mask(secrets_of(os.environ)),
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """What is secret in the environment, the longest first: values of variables that are named
    like secrets; passwords, and what may be tokens, in URLs."""
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name):
            found |= {one.strip() for one in value.split(",")} | {value}
        elif "://" in value:
            found |= _secrets_of_url(value)
    return tuple(sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len)[::-1])


def _secrets_of_url(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    found = {one for one in parts.path.split("/") if len(one) >= _SHORTEST_PATH_TOKEN}
    if parts.password:
        found |= {parts.password, unquote(parts.password), quote(unquote(parts.password), safe="")}
    return found


class _Mask:
    """Hides secrets in every text of a line, wherever they came from."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        return {name: self._masked(value) for name, value in event.items()}

    def _masked(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._masked(one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._masked(one) for one in value]
        if not isinstance(value, str):
            return value
        for secret in self._secrets:
            value = value.replace(secret, _MASK)
        value = _PASSWORD_OF_URL.sub(rf"\g<before>{_MASK}", value)
        return _TOKEN_OF_LINK.sub(rf"\g<before>{_MASK}", value)
