"""Container runtimes by name. A new one is a module, and a line in ``_BUILT_IN``.

Their modules are imported when a host names them, so that reading settings imports no client.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from userdb.errors import ConfigError

if TYPE_CHECKING:
    from include.collectors.container_stats.runtime import Runtime
    from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost

#: Makes the runtime of a configured host; nothing is connected yet.
OpenRuntime = Callable[["EngineHost", "ContainerStatsSettings"], "Runtime"]

_PACKAGE = "include.collectors.container_stats"
#: Importing the module registers the runtime.
_BUILT_IN = {
    "docker": f"{_PACKAGE}.docker_engine",
    "podman": f"{_PACKAGE}.docker_engine",
    "kubernetes": f"{_PACKAGE}.kubernetes",
}
_runtimes: dict[str, OpenRuntime] = {}


def register_runtime(*names: str) -> Callable[[OpenRuntime], OpenRuntime]:
    """Register the decorated function as what opens hosts of these runtimes.

    Raises:
        ConfigError: a name is taken.
    """

    def add(opens: OpenRuntime) -> OpenRuntime:
        for name in names:
            if name in _runtimes:
                raise ConfigError(
                    f"the runtime {name!r} is registered twice: by {_runtimes[name]!r} and by "
                    f"{opens!r}; give one of them another name"
                )
            _runtimes[name] = opens
        return opens

    return add


def runtime_names() -> list[str]:
    """The names of all runtimes."""
    return [*_BUILT_IN, *sorted(set(_runtimes) - set(_BUILT_IN))]


def open_runtime(host: EngineHost, settings: ContainerStatsSettings) -> Runtime:
    """The runtime of ``host``.

    Raises:
        CollectionError, ConfigError: what its settings name isn't there.
    """
    if host.runtime not in _runtimes:
        import_module(_BUILT_IN[host.runtime])
    return _runtimes[host.runtime](host, settings)
