"""Active health checks: many at once, each and all of them within a time limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from monitoring.registry.definition import HealthCheck, host_port

# a line for each check, in each minute, would hide what else a task's log says
logging.getLogger("httpx").setLevel(logging.WARNING)

#: Checks that run at the same time.
CONCURRENCY = 64
#: What a check's own message may hold.
_MESSAGE = 255


@dataclass(frozen=True)
class Target:
    """What to check: an instance's address and its check."""

    id: str
    address: str
    port: int
    check: HealthCheck


def check_all(
    targets: Sequence[Target], *, deadline_s: float, concurrency: int = CONCURRENCY
) -> Mapping[str, str | None]:
    """Check all targets; by id None where the check passed, else why it failed.

    What could not be checked within ``deadline_s`` seconds is left out: nothing is known of it.
    """
    return asyncio.run(_check_all(targets, deadline_s, concurrency))


async def _check_all(
    targets: Sequence[Target], deadline_s: float, concurrency: int
) -> dict[str, str | None]:
    slots = asyncio.Semaphore(concurrency)
    results: dict[str, str | None] = {}
    # instances are reached directly, whatever proxy the environment names for the world outside
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        trust_env=False, follow_redirects=False, timeout=None, limits=limits
    ) as client:

        async def run(target: Target) -> None:
            async with slots:
                results[target.id] = await _outcome(target, client)

        tasks = [asyncio.create_task(run(target)) for target in targets]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=deadline_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return results


async def _outcome(target: Target, client: httpx.AsyncClient) -> str | None:
    try:
        # over all of it: an instance that answers byte by byte doesn't hold the others up
        async with asyncio.timeout(target.check.timeout_s):
            if target.check.kind == "tcp":
                await _connect(target)
                return None
            return await _get(target, client)
    except TimeoutError:
        return f"no answer within {target.check.timeout_s:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        return (str(error) or type(error).__name__)[:_MESSAGE]


async def _connect(target: Target) -> None:
    _, writer = await asyncio.open_connection(target.address, target.port)
    writer.close()


async def _get(target: Target, client: httpx.AsyncClient) -> str | None:
    url = f"http://{host_port(target.address, target.port)}{target.check.path}"
    # its body is not read: a health page may be large
    async with client.stream("GET", url, headers={"User-Agent": "monitoring-chain"}) as response:
        if 200 <= response.status_code < 400:
            return None
        return f"GET {target.check.path} answered {response.status_code}"[:_MESSAGE]
