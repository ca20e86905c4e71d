"""Log formats by name: a module each, and a line here."""

from __future__ import annotations

from collections.abc import Iterable

from include.collectors.request_logs.formats.base import FIELDS, LogFormat
from include.collectors.request_logs.formats.nginx_combined import NGINX_COMBINED
from include.collectors.request_logs.formats.nginx_json import NGINX_JSON
from userdb.errors import ConfigError

__all__ = ["FIELDS", "FORMATS", "LogFormat", "format_named", "index_formats"]


def index_formats(formats: Iterable[LogFormat]) -> dict[str, LogFormat]:
    """Formats by name.

    Raises:
        ConfigError: two have the same name.
    """
    found: dict[str, LogFormat] = {}
    for log_format in formats:
        if log_format.name in found:
            raise ConfigError(f"the log format {log_format.name!r} is registered twice")
        found[log_format.name] = log_format
    return found


FORMATS = index_formats(
    [
        NGINX_COMBINED,
        NGINX_JSON,
    ]
)


def format_named(name: str, source: str) -> LogFormat:
    """The format that the log source ``source`` asks for.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in FORMATS:
        raise ConfigError(
            f"request_logs source {source!r}: there is no log format {name!r}; "
            f"set format to one of {', '.join(FORMATS)}"
        )
    return FORMATS[name]
