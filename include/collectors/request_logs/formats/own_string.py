"""Formats that a source describes by the string that its server has: ``options.log_format``.

The whole directive does as well: ``log_format main '…';`` of nginx, ``LogFormat "…" main`` of
Apache. An nginx string that is a JSON object is read as JSON.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from include.collectors.request_logs.formats import apache_directives, nginx_variables
from include.collectors.request_logs.formats.base import FormatKind, LogFormat


class OwnString(BaseModel):
    """The server's own format string."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_format: Annotated[str, Field(min_length=1)]


def _nginx(options: OwnString) -> LogFormat:
    return nginx_variables.compile_log_format(
        "nginx_log_format", options.log_format, "is not a line of the source's log_format"
    )


def _apache(options: OwnString) -> LogFormat:
    return apache_directives.compile_log_format(
        "apache_log_format",
        apache_directives.directive_string(options.log_format),
        "is not a line of the source's log_format",
    )


NGINX_LOG_FORMAT = FormatKind("nginx_log_format", _nginx, OwnString)
APACHE_LOG_FORMAT = FormatKind("apache_log_format", _apache, OwnString)
