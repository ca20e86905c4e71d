"""Collectors by name.

The built-in ones are imported when they are first asked for, so that listing names or reading
settings imports neither DuckDB nor Docker's client.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from include.collectors.config import Settings
from include.collectors.protocol import Collector
from userdb.errors import ConfigError

#: Makes a collector from its section of the settings.
Factory = Callable[[Any], Collector]
F = TypeVar("F", bound=Factory)

#: Importing the module registers the collector.
_BUILT_IN = {
    "gateway_exceptions": "include.collectors.gateway_exceptions.collector",
    "request_logs": "include.collectors.request_logs.collector",
    "container_stats": "include.collectors.container_stats.collector",
    "pull": "include.collectors.pull.collector",
}
_factories: dict[str, Factory] = {}


def register(name: str) -> Callable[[F], F]:
    """Register the decorated factory (or class) as the collector ``name``.

    Raises:
        ConfigError: the name is taken.
    """

    def add(factory: F) -> F:
        if name in _factories:
            raise ConfigError(
                f"the collector {name!r} is registered twice: by {_factories[name]!r} "
                f"and by {factory!r}; give one of them another name"
            )
        _factories[name] = factory
        return factory

    return add


def create(name: str, settings: Settings) -> Collector:
    """The collector ``name``, made from its section of ``settings``.

    Raises:
        ConfigError: there is no such collector.
    """
    if name not in _factories and name in _BUILT_IN:
        import_module(_BUILT_IN[name])
    if name not in _factories:
        raise ConfigError(f"there is no collector {name!r}; there are {', '.join(names())}")
    return _factories[name](settings.section(name))


def names() -> list[str]:
    """The names of all collectors, built-in ones first."""
    return [*_BUILT_IN, *sorted(set(_factories) - set(_BUILT_IN))]
