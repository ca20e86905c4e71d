"""Processes that are measured: seconds, CPU seconds and peak memory of each."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Used:
    """What work used. ``bytes_read``: by read(2) and the like; None where nobody counted them."""

    seconds: float
    cpu_s: float
    peak_mib: float
    bytes_read: int | None = None
    #: of the database's server
    served_s: float = 0.0


def run_measured(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Used, bytes]:
    """Run ``command`` from its start to its end; what it wrote to standard output.

    Call it from a small process: a new process's peak begins as that of the one it came from.

    Raises:
        RuntimeError: it failed; tells what it wrote.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        text = output.read()
        if process.returncode:
            told = (text + errors.read()).decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{told}")
    return Used(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), text


def measured(work: Callable[[], T]) -> tuple[Used, T]:
    """Run ``work`` in this process, whose peak memory it is.

    The environment's ``SERVER_PID`` is that of the database's server, if there is one.
    """
    pid = os.environ.get("SERVER_PID")
    served = process_cpu_s(int(pid)) if pid else 0.0
    before = resource.getrusage(resource.RUSAGE_SELF)
    read = _own("io", "rchar")
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if pid:
        served = process_cpu_s(int(pid)) - served
    peak_mib = _own("status", "VmHWM") / 1024
    return Used(seconds, cpu_s, peak_mib, _own("io", "rchar") - read, served), result


def run_module(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[Used, dict[str, Any]]:
    """Run ``python -m module`` where it calls ``report``; what it reported.

    Only the work that it measured is told, not starting Python.
    """
    own = dict(os.environ if environment is None else environment)
    # modules are compiled once, not in every process
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    _, output = run_measured([sys.executable, "-m", module, *arguments], own)
    document = json.loads(output.splitlines()[-1])
    return Used(**document.pop("used")), document


def report(used: Used, **more: Any) -> None:
    """What ``run_module`` returns: the last line of output."""
    print(json.dumps({"used": asdict(used), **more}))


def process_cpu_s(pid: int) -> float:
    """CPU seconds that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _own(file: str, name: str) -> int:
    for line in Path(f"/proc/self/{file}").read_text("utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/{file} tells no {name}")
