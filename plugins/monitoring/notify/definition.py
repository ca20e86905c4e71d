"""A receiver: who is told, where, and how."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from userdb.errors import ConfigError

Language = Literal["en", "zh"]

_HTTP = ("http", "https")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Shorter values (``1``, ``on``) are no secrets, and hiding them would garble every text.
_SHORTEST_SECRET = 4
#: Shorter path segments (``api``, ``v1``) are words, longer ones may be a web hook's token.
_SHORTEST_PATH_TOKEN = 16
#: ... in URLs such as ``slack://A/B/C``, which are made of tokens, these are shorter.
_SHORTEST_TOKEN = 8
_MASK = "***"


@dataclass(frozen=True, repr=False)
class Receiver:
    """One receiver of messages.

    Attributes:
        name: unique; what it was told is kept under this name.
        url: where messages are posted; may hold user, password and tokens. Empty for kinds that
            need none.
        kind: name of a channel in ``monitoring.notify.channels``, which checks the rest.
        secret: key of the HMAC signature; None for unsigned messages.
        previous_secret: the key before it, while receivers change over: messages are signed with
            both.
        headers: sent with every message.
        timeout_s: a try that takes longer, all in all, has failed.
        send_resolved: whether it wants to know when an alert is over.
        max_alerts: at most so many alerts in one message; 0 for all.
        give_up_after: a message that could not be delivered for so long is dead.
        language: of texts.
        connection: id of the Airflow connection, for kinds that open it themselves.
        options: what only this kind of channel has.
        hidden: secrets besides those in ``url``, ``secret`` and ``headers``.
        callback_secret: key of the tokens in messages; None for messages without them.

    Raises:
        ConfigError: a field is not valid. The text repeats no secret.
    """

    name: str
    url: str = ""
    kind: str = "webhook"
    secret: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 10.0
    send_resolved: bool = True
    max_alerts: int = 0
    give_up_after: timedelta = timedelta(hours=24)
    language: Language = "en"
    connection: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    callback_secret: str | None = None
    previous_secret: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 128:
            raise ConfigError("a receiver's name must have 1 to 128 characters; choose another")
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

    def require_http(self) -> None:
        """Raises ConfigError where the URL is none that HTTP can post to."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in _HTTP and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or re.search(r"[\x00-\x20]", self.url):
            raise ConfigError(
                f"receiver {self.name!r} has no usable URL; write for example "
                "https://hooks.example.com/monitoring"
            )

    @property
    def address(self) -> str:
        """The URL without what may be secret: user, password, path and query."""
        if not self.url:
            return f"connection {self.connection}" if self.connection else "-"
        parts = urlsplit(self.url)
        if parts.scheme not in _HTTP:
            return f"{parts.scheme}://…"
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

    def redact(self, text: str, also: Iterable[str] = ()) -> str:
        """``text`` without this receiver's secrets, in whatever form they travel.

        Args:
            also: what else is secret in it, such as a message's tokens.
        """
        for secret in (*also, *self._secrets):
            text = text.replace(secret, _MASK)
        return text

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        values = set(self.hidden) | self._secrets_of_url()
        for value in self.headers.values():
            values |= {value, *value.split()}
        if self.basic_auth is not None:
            values |= {":".join(self.basic_auth), self.basic_auth[1]}
            values.add(b64encode(":".join(self.basic_auth).encode()).decode())
        found = {one for one in values if len(one) >= _SHORTEST_SECRET}
        keys = (self.secret, self.previous_secret, self.callback_secret)
        found |= {one for one in keys if one}
        forms = {form for one in found for form in (one, quote(one, safe=""), unquote(one))}
        return tuple(sorted(forms, key=len, reverse=True))

    def _secrets_of_url(self) -> set[str]:
        parts = urlsplit(self.url)
        values = {value for _, value in parse_qsl(parts.query)}
        is_http = parts.scheme in _HTTP
        shortest = _SHORTEST_PATH_TOKEN if is_http else _SHORTEST_TOKEN
        values |= {one for one in parts.path.split("/") if len(one) >= shortest}
        if not is_http and self.url:
            # telegram://TOKEN/… or discord://ID/TOKEN: what stands for host and user is secret too
            host = parts.netloc.rpartition("@")[2]
            values |= {parts.username or "", self.url}
            if "." not in host and not host.startswith("localhost"):
                values |= {host, *host.split(":")}
        return values
