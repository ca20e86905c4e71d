"""The heartbeat: a service outside hears of each complete run, and alerts when it hears nothing.

It is a POST to ``MONITORING_HEARTBEAT_URL``, as healthchecks and its like take it. Where
``MONITORING_HEARTBEAT_SIGNALS`` names them, ``start`` and ``fail`` are told too, to that URL with
``/start`` and ``/fail`` behind its path.
"""

from __future__ import annotations

import logging
import os
from typing import Literal
from urllib.parse import urlsplit

from monitoring.notify.watchdog import post
from userdb.errors import ConfigError

log = logging.getLogger(__name__)

Signal = Literal["success", "start", "fail"]
_OPTIONAL = frozenset({"start", "fail"})
_LONGEST_TEXT = 10_000


def beat(signal: Signal = "success", text: str = "") -> bool:
    """Tell that a run was complete, has begun, or has failed; never raises.

    Args:
        text: what a person reads at the service: the run, or why it failed.

    Returns:
        Whether it was told: false without a URL, where the signal is not wanted, and where the
        service did not take it, which is logged.
    """
    url = os.environ.get("MONITORING_HEARTBEAT_URL", "").strip()
    if not url:
        return False
    try:
        if signal != "success":
            if signal not in _signals():
                return False
            parts = urlsplit(url)
            url = parts._replace(path=f"{parts.path.rstrip('/')}/{signal}").geturl()
        body = text[:_LONGEST_TEXT].encode(errors="replace")
        post("heartbeat", url, body, content_type="text/plain; charset=utf-8")
    except Exception as error:  # the run that it tells of is not to fail by it
        log.error("the heartbeat %s could not be told: %s", signal, error)
        return False
    return True


def _signals() -> frozenset[str]:
    text = os.environ.get("MONITORING_HEARTBEAT_SIGNALS", "")
    named = frozenset(one.strip() for one in text.split(",") if one.strip())
    if named - _OPTIONAL:
        raise ConfigError(
            f"MONITORING_HEARTBEAT_SIGNALS names {', '.join(sorted(named - _OPTIONAL))}; "
            "known are start and fail"
        )
    return named
