"""The settings of all collectors: sources.yaml, or the file that MONITORING_SOURCES names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from re import Match
from typing import Any

from monitoring.variables import VARIABLE, value_of
from monitoring.yaml_source import Locate, Location, field_name, invalid, load_yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.collectors.container_stats.settings import ContainerStatsSettings
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from include.collectors.nodes.settings import PushSettings
from include.collectors.pull.settings import PullSettings
from include.collectors.request_logs.settings import RequestLogsSettings
from userdb.errors import ConfigError

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "sources.yaml"


class Settings(BaseModel):
    """sources.yaml: a section a collector, and one for nodes that push."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gateway_exceptions: GatewayExceptionsSettings = Field(default_factory=GatewayExceptionsSettings)
    request_logs: RequestLogsSettings = Field(default_factory=RequestLogsSettings)
    container_stats: ContainerStatsSettings = Field(default_factory=ContainerStatsSettings)
    pull: PullSettings = Field(default_factory=PullSettings)
    push: PushSettings = Field(default_factory=PushSettings)

    def section(self, name: str) -> BaseModel | None:
        """The section of the collector ``name``; None for one that has no settings."""
        section = getattr(self, name) if name in type(self).model_fields else None
        return section if isinstance(section, BaseModel) else None


def settings_path() -> Path:
    """The file that settings are read from: MONITORING_SOURCES, else the one that is shipped."""
    named = os.environ.get("MONITORING_SOURCES", "").strip()
    return Path(named) if named else DEFAULT_PATH


def load_settings(path: Path | str | None = None) -> Settings:
    """Read and validate the settings; ``${NAME}`` and ``${NAME:-default}`` in values are
    replaced from the environment.

    Raises:
        ConfigError: the file can't be read, or a setting is wrong; names file, line and field.
    """
    path = Path(path) if path is not None else settings_path()
    data, locate = load_yaml(path)
    expanded = _expand({} if data is None else data, path, locate, os.environ, ())
    try:
        return Settings.model_validate(expanded)
    except ValidationError as cause:
        raise invalid(path, locate, cause) from None


def _expand(
    value: Any, path: Path, locate: Locate, environ: Mapping[str, str], at: Location
) -> Any:
    if isinstance(value, dict):
        return {
            key: _expand(item, path, locate, environ, (*at, key)) for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _expand(item, path, locate, environ, (*at, index)) for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def replace(match: Match[str]) -> str:
        text = value_of(match, environ)
        if text is None:
            raise ConfigError(
                f"{path}:{locate(at)}: {field_name(at)}: the environment variable "
                f"{match['name']} is not set; set it, or write ${{{match['name']}:-default}}"
            )
        return text

    return VARIABLE.sub(replace, value)
