"""Ask engines as a task of Airflow does: by the Docker provider's hook.

A process of its own, because an imported Airflow would change what other tests of the process see.
Arguments: time limit, URLs. Prints JSON: for each URL the containers' names, or the error.
"""

from __future__ import annotations

import json
import sys

from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.settings import EngineHost
from include.collectors.time_limit import call_all


def main() -> None:
    """Ask all at the same time."""
    timeout_s, urls = float(sys.argv[1]), sys.argv[2:]
    engines = [
        DockerEngine(EngineHost(name="local", url=url), timeout_s=timeout_s, concurrency=4)
        for url in urls
    ]
    if "airflow.providers.docker.hooks.docker" not in sys.modules:
        raise AssertionError("the hook is not in use")
    outcomes = call_all([engine.containers for engine in engines], workers=len(engines))
    print(
        json.dumps(
            [
                [container.name for container in outcome.value.containers]
                if outcome.value
                else str(outcome.error)
                for outcome in outcomes
            ]
        )
    )


if __name__ == "__main__":
    main()
