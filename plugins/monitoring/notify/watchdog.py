"""The watchdog: tells that the chain itself fails, by a path that doesn't need userdb."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from monitoring.notify.definition import Receiver
from monitoring.notify.payload import format_time

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0

#: failed: a run did; firing, resolved: something that lasts begins, or is over.
Status = Literal["failed", "firing", "resolved"]


def tell(
    *,
    what: str,
    reasons: Mapping[str, str],
    now: datetime,
    status: Status = "failed",
    run_id: str | None = None,
    window: object | None = None,
) -> bool:
    """Post ``{what, status, run_id, window, reasons, at}`` to ``MONITORING_WATCHDOG_URL``.

    Never raises. Without that URL, and where it can't be told, it is logged.

    Returns:
        Whether there is nothing left to tell: false where the URL did not take it.
    """
    listed = "; ".join(f"{subject}: {why}" for subject, why in reasons.items())
    level = logging.WARNING if status == "resolved" else logging.ERROR
    taken = True
    try:
        url = os.environ.get("MONITORING_WATCHDOG_URL", "").strip()
        if url:
            told = {
                "what": what,
                "status": status,
                "run_id": run_id,
                "window": None if window is None else str(window),
                "reasons": dict(reasons),
                "at": format_time(now),
            }
            post("watchdog", url, json.dumps(told, ensure_ascii=False).encode())
            return True
    except Exception as error:  # what is told here must not hide behind another error
        taken = False
        log.error("the watchdog could not be told: %s", error)
    log.log(level, "%s %s (run %s, window %s): %s", what, status, run_id, window, listed)
    return taken


def post(name: str, url: str, body: bytes, content_type: str = "application/json") -> None:
    """Post once, within ``TIMEOUT_S``.

    Raises:
        ConfigError: it is no URL.
        DeliveryError: it did not answer with success. No text repeats what may be secret in the
            URL.
    """
    from monitoring.notify.transport import Transport
    from userdb.errors import DeliveryError

    receiver = Receiver(name, url, timeout_s=TIMEOUT_S)
    receiver.require_http()
    transport = Transport(receiver.basic_auth)
    try:
        answer = transport.post(
            receiver.bare_url, body, {"Content-Type": content_type}, timeout_s=TIMEOUT_S
        )
    except DeliveryError as error:
        raise DeliveryError(f"{receiver.address}: {receiver.redact(str(error))}") from None
    finally:
        transport.close()
    if not 200 <= answer.status < 300:
        raise DeliveryError(f"{receiver.address} answered HTTP {answer.status}")
