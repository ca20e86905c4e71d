"""The watchdog: tells that the chain itself failed, by a path that doesn't need userdb."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import datetime

from monitoring.notify.definition import Receiver
from monitoring.notify.payload import format_time

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0


def tell(
    *,
    what: str,
    run_id: str,
    window: object | None,
    reasons: Mapping[str, str],
    now: datetime,
) -> None:
    """Post ``{what, run_id, window, reasons, at}`` to ``MONITORING_WATCHDOG_URL``; never raises.

    Without that URL, and where it can't be told, an error is logged.
    """
    listed = "; ".join(f"{task}: {why}" for task, why in reasons.items())
    try:
        url = os.environ.get("MONITORING_WATCHDOG_URL", "").strip()
        if url:
            told = {
                "what": what,
                "run_id": run_id,
                "window": None if window is None else str(window),
                "reasons": dict(reasons),
                "at": format_time(now),
            }
            _post(url, json.dumps(told, ensure_ascii=False).encode())
            return
    except Exception as error:  # what is told here must not hide behind another error
        log.error("the watchdog could not be told: %s", error)
    log.error("%s failed (run %s, window %s): %s", what, run_id, window, listed)


def _post(url: str, body: bytes) -> None:
    from monitoring.notify.transport import Transport
    from userdb.errors import DeliveryError

    receiver = Receiver("watchdog", url, timeout_s=TIMEOUT_S)
    receiver.require_http()
    transport = Transport(receiver.basic_auth)
    try:
        answer = transport.post(
            receiver.bare_url, body, {"Content-Type": "application/json"}, timeout_s=TIMEOUT_S
        )
    except DeliveryError as error:
        raise DeliveryError(f"{receiver.address}: {receiver.redact(str(error))}") from None
    finally:
        transport.close()
    if not 200 <= answer.status < 300:
        raise DeliveryError(f"{receiver.address} answered HTTP {answer.status}")
