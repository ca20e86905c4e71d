"""How the DAGs are laid out: what is mapped over what, and the pool, queue and executor of a task.

DAG files ask this while they are parsed, which happens all day: so it imports next to nothing,
and answers from the environment and the text of two files. What is wrong with them is told by the
tasks when they run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from monitoring.variables import VARIABLE, value_of

#: The most tasks that one collector is mapped to.
COLLECT_TASKS = 16
#: So many policies make one task of the analysis; the next one begins a second.
POLICIES_PER_TASK = 200
#: The most tasks that a step of the analysis is mapped to.
ANALYSIS_TASKS = 16
#: What tasks do, as pools, queues and executors are set by it.
KINDS = ("collect", "analysis", "upkeep")

#: Collector → the list in its section of the settings, of which each entry has a name.
_LISTS = {"request_logs": "sources", "container_stats": "hosts", "pull": "nodes"}
#: What names a policy, in YAML as in JSON; also counts what is called so elsewhere.
_NAMED = re.compile(r"""(?:^|[{,])[ \t]*(?:-[ \t]+)*["']?name["']?[ \t]*:""", re.MULTILINE)


def sources(collector: str) -> tuple[str, ...]:
    """The names of a collector's configured sources, as the settings list them; none where they
    can't be read."""
    section = _settings().get(collector)
    listed = section.get(_LISTS[collector]) if isinstance(section, dict) else None
    if not isinstance(listed, list):
        return ()
    names = (one.get("name") for one in listed if isinstance(one, dict))
    return tuple(_expanded(name) for name in names if isinstance(name, str))


def shares(collector: str) -> list[list[str]]:
    """A collector's sources in as many lists as it gets tasks; fewer than two: it is not mapped.

    MONITORING_COLLECT_TASKS is the most there may be.
    """
    if collector not in _LISTS:
        return []
    names = sources(collector)
    most = min(_number("MONITORING_COLLECT_TASKS", COLLECT_TASKS), len(names))
    return [list(names[first::most]) for first in range(most)] if most > 1 else []


def shards() -> int:
    """In how many parts the policies are analysed: one for each MONITORING_POLICIES_PER_TASK."""
    per_task = _number("MONITORING_POLICIES_PER_TASK", POLICIES_PER_TASK)
    most = _number("MONITORING_ANALYSIS_TASKS", ANALYSIS_TASKS)
    return max(min(-(-_policies() // per_task), most), 1)


def placement(kind: str) -> dict[str, str]:
    """The arguments ``pool``, ``queue`` and ``executor`` of a task, where MONITORING_POOL_<KIND>,
    MONITORING_QUEUE_<KIND> and MONITORING_EXECUTOR_<KIND> are set; else Airflow's defaults hold."""
    assert kind in KINDS
    found = {
        name: os.environ.get(f"MONITORING_{name.upper()}_{kind.upper()}", "").strip()
        for name in ("pool", "queue", "executor")
    }
    return {name: value for name, value in found.items() if value}


def _number(variable: str, default: int) -> int:
    """A whole number of at least 1 from the environment; the default where it is none."""
    try:
        return max(int(os.environ.get(variable, "")), 1)
    except ValueError:
        return default


def _settings() -> Mapping[str, Any]:
    try:
        path = _path("MONITORING_SOURCES", "sources.yaml")
        found = _read(path, path.stat().st_mtime_ns)
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int) -> Any:
    """The file's document; a DAG file asks for several collectors' sources."""
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _policies() -> int:
    return sum(len(_NAMED.findall(text)) for text in _policy_texts())


def _policy_texts() -> Iterator[str]:
    try:
        root = _path("MONITORING_POLICIES", "policies")
        files: Sequence[Path] = [root] if root.is_file() else sorted(root.iterdir())
        for file in files:
            if file.suffix in (".yaml", ".yml") and file.name != "routing.yaml":
                yield file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return


def _path(variable: str, shipped: str) -> Path:
    named = os.environ.get(variable, "").strip()
    if named:
        return Path(named)
    package = find_spec("include")
    assert package is not None
    return Path(next(iter(package.submodule_search_locations or ()))) / shipped


def _expanded(text: str) -> str:
    """``${NAME}`` and ``${NAME:-default}`` replaced, as the settings' reader does it."""
    return VARIABLE.sub(lambda found: value_of(found, os.environ) or "", text)
