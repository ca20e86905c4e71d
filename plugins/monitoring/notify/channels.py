"""Channels by kind: how a message gets to a receiver.

A new kind is one module and one line at the end of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol

from monitoring.notify.definition import Receiver
from userdb.errors import ConfigError


@dataclass(frozen=True)
class Message:
    """What is sent. ``id`` stays the same over all tries; ``sent_at`` is this try's time."""

    id: str
    payload: Mapping[str, Any]
    sent_at: datetime


@dataclass(frozen=True)
class Receipt:
    """A receiver took a message. ``text`` is the beginning of its answer, without secrets."""

    http_status: int | None
    text: str


class Channel(Protocol):
    """Sends messages to one receiver. Used by one thread at a time."""

    def send(self, message: Message) -> Receipt:
        """Send once, within the receiver's time limit.

        Raises:
            DeliveryError: the receiver did not take it. The text holds no secrets.
        """
        ...

    def close(self) -> None: ...


_kinds: dict[str, str] = {}


def register(kind: str, factory: str) -> None:
    """Add a kind; ``factory`` is ``module:callable``, imported when first used.

    Raises:
        ConfigError: the name is taken.
    """
    if kind in _kinds:
        raise ConfigError(f"channel {kind!r} is registered twice: {_kinds[kind]} and {factory}")
    _kinds[kind] = factory


def open_channel(receiver: Receiver) -> Channel:
    """A channel to ``receiver``.

    Raises:
        ConfigError: there is no such kind.
    """
    if receiver.kind not in _kinds:
        raise ConfigError(
            f"receiver {receiver.name!r} is of unknown kind {receiver.kind!r}; "
            f"there are {', '.join(sorted(_kinds))}"
        )
    module, _, name = _kinds[receiver.kind].partition(":")
    channel: Channel = getattr(import_module(module), name)(receiver)
    return channel


register("webhook", "monitoring.notify.webhook:Webhook")
