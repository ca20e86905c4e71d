"""Where and how a process reports over HTTP, as its environment says."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from include.reporting.spool import default_spool
from userdb.errors import ConfigError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class HttpSettings:
    """Settings of ``HttpTransport``.

    Attributes:
        url: base address of the API, as ``http://monitoring:8790``; without ``/api/v1/events``.
        api_key: a key with the scope ``events:write``.
        durable: whether a caller waits until its event is on disk.
        queue_size: events that wait in memory at most.
        batch_events: events in one request at most.
        timeout_s: an answer that takes longer, all in all, is none.
        flush_s: how long the end of the process may wait for the last delivery.
        spool: folder of the events that are yet to be delivered.
        spool_bytes: what that folder may hold.
    """

    url: str
    api_key: str = field(default="", repr=False)
    durable: bool = False
    queue_size: int = 10_000
    batch_events: int = 500
    timeout_s: float = 10.0
    flush_s: float = 2.0
    spool: Path = field(default_factory=default_spool)
    spool_bytes: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("MONITORING_URL is not an address as http://monitoring:8790")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                "MONITORING_URL holds more than an address: the key belongs in MONITORING_API_KEY"
            )
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ConfigError("MONITORING_API_KEY has characters that no key has")

    @property
    def endpoint(self) -> str:
        return self.url.rstrip("/") + "/api/v1/events"


def http_settings(environ: Mapping[str, str] = os.environ) -> HttpSettings | None:
    """The settings in ``environ``; None where MONITORING_URL isn't set.

    Raises:
        ConfigError: a setting is not valid; the text names it, and no secret.
    """
    url = environ.get("MONITORING_URL", "").strip()
    if not url:
        return None
    return HttpSettings(
        url=url,
        api_key=environ.get("MONITORING_API_KEY", "").strip(),
        durable=_flag(environ, "MONITORING_DURABLE"),
        queue_size=int(_number(environ, "MONITORING_QUEUE_SIZE", 10_000, 1, 1_000_000)),
        batch_events=int(_number(environ, "MONITORING_BATCH_EVENTS", 500, 1, 1000)),
        timeout_s=_number(environ, "MONITORING_TIMEOUT", 10, 0.1, 300),
        flush_s=_number(environ, "MONITORING_FLUSH_TIMEOUT", 2, 0, 60),
        spool_bytes=int(_number(environ, "MONITORING_SPOOL_MAX_MB", 512, 1, 1_000_000) * 2**20),
    )


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "").strip().lower()
    if text not in _TRUE | _FALSE:
        raise ConfigError(f"{name} is {text[:40]!r}: it may be true or false")
    return text in _TRUE


def _number(
    environ: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = environ.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise ConfigError(f"{name} is {text[:40]!r}: it may be {least:g} to {most:g}")
    return number
