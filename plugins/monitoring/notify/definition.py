"""A receiver: who is told, where, and how."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from userdb.errors import ConfigError

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Shorter values (``1``, ``on``) are no secrets, and hiding them would garble every text.
_SHORTEST_SECRET = 4
#: Shorter path segments (``api``, ``v1``) are words, longer ones may be a web hook's token.
_SHORTEST_PATH_TOKEN = 16
_MASK = "***"


@dataclass(frozen=True, repr=False)
class Receiver:
    """One receiver of messages.

    Attributes:
        name: unique; what it was told is kept under this name.
        url: where messages are posted; may hold user, password and tokens.
        kind: name of a channel in ``monitoring.notify.channels``.
        secret: key of the HMAC signature; None for unsigned messages.
        headers: sent with every message.
        timeout_s: a try that takes longer, all in all, has failed.
        send_resolved: whether it wants to know when an alert is over.
        max_alerts: at most so many alerts in one message; 0 for all.
        give_up_after: a message that could not be delivered for so long is dead.

    Raises:
        ConfigError: a field is not valid. The text repeats no secret.
    """

    name: str
    url: str
    kind: str = "webhook"
    secret: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 10.0
    send_resolved: bool = True
    max_alerts: int = 0
    give_up_after: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 128:
            raise ConfigError("a receiver's name must have 1 to 128 characters; choose another")
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or re.search(r"[\x00-\x20]", self.url):
            raise ConfigError(
                f"receiver {self.name!r} has no usable URL; write for example "
                "https://hooks.example.com/monitoring"
            )
        if not 0 < self.timeout_s <= 300:
            raise ConfigError(
                f"receiver {self.name!r}: timeout {self.timeout_s} is not within 0 and 300 seconds"
            )
        if self.max_alerts < 0:
            raise ConfigError(f"receiver {self.name!r}: max_alerts is negative; 0 means all")
        for header, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(header) or re.search(r"[\x00-\x1f\x7f]", value):
                raise ConfigError(f"receiver {self.name!r}: the header {header!r} can't be sent")

    def __repr__(self) -> str:
        return f"Receiver({self.name!r}, {self.kind}, {self.address})"

    @property
    def address(self) -> str:
        """The URL without what may be secret: user, password, path and query."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        hidden = "/…" if parts.path not in ("", "/") or parts.query else ""
        return f"{parts.scheme}://{host}{hidden}"

    @property
    def bare_url(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """The URL's user and password."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return None
        return unquote(parts.username), unquote(parts.password or "")

    def redact(self, text: str) -> str:
        """``text`` without this receiver's secrets, in whatever form they travel."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        parts = urlsplit(self.url)
        values = {value for _, value in parse_qsl(parts.query)}
        values |= {one for one in parts.path.split("/") if len(one) >= _SHORTEST_PATH_TOKEN}
        for value in self.headers.values():
            values |= {value, *value.split()}
        if self.basic_auth is not None:
            values |= {":".join(self.basic_auth), self.basic_auth[1]}
            values.add(b64encode(":".join(self.basic_auth).encode()).decode())
        found = {one for one in values if len(one) >= _SHORTEST_SECRET}
        if self.secret:
            found.add(self.secret)
        forms = {form for one in found for form in (one, quote(one, safe=""), unquote(one))}
        return tuple(sorted(forms, key=len, reverse=True))
