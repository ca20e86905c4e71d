"""Channels by kind: how a message gets to a receiver.

A new kind is one module and one line at the end of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from monitoring.notify.definition import Receiver
from monitoring.yaml_source import field_name
from userdb.errors import ConfigError


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes:
        id: the same over all tries.
        payload: Alertmanager's, version 4.
        sent_at: this try's time.
        decided_at: when it was put into the outbox, the same over all tries.
        kind: alerts or digest.
        context: what texts say besides the payload (``monitoring.notify.context``).
    """

    id: str
    payload: Mapping[str, Any]
    sent_at: datetime
    decided_at: datetime
    kind: str = "alerts"
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """A receiver took a message. ``text`` is the beginning of its answer, without secrets."""

    http_status: int | None
    text: str


class Channel(Protocol):
    """Sends messages to one receiver. Used by one thread at a time."""

    #: of what only this kind has
    options_model: ClassVar[type[BaseModel]]

    def __init__(self, receiver: Receiver) -> None: ...

    def send(self, message: Message) -> Receipt:
        """Send once, within the receiver's time limit.

        Raises:
            DeliveryError: the receiver did not take it. The text holds no secrets.
        """
        ...

    def close(self) -> None: ...


_kinds: dict[str, str] = {}
_forgetful: set[str] = set()


def register(kind: str, factory: str, *, forgets: bool = False) -> None:
    """Add a kind; ``factory`` is ``module:class``, imported when first used.

    Args:
        forgets: whether its receivers take what they are not told again for over.

    Raises:
        ConfigError: the name is taken.
    """
    if kind in _kinds:
        raise ConfigError(f"channel {kind!r} is registered twice: {_kinds[kind]} and {factory}")
    _kinds[kind] = factory
    if forgets:
        _forgetful.add(kind)


def forgets(kind: str) -> bool:
    """Whether receivers of this kind take what they are not told again for over."""
    return kind in _forgetful


def kinds() -> tuple[str, ...]:
    """The names of all kinds."""
    return tuple(sorted(_kinds))


Options = TypeVar("Options", bound=BaseModel)


def parse_options(receiver: Receiver, model: type[Options]) -> Options:
    """The receiver's options as its kind's model.

    Raises:
        ConfigError: an option is unknown or not valid; names receiver and option, not the value.
    """
    try:
        return model.model_validate(dict(receiver.options))
    except ValidationError as error:
        mistakes = "; ".join(
            f"options.{field_name(one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ConfigError(
            f"receiver {receiver.name!r}, of kind {receiver.kind}: {mistakes}; "
            "see docs/receivers.md"
        ) from None


def open_channel(receiver: Receiver) -> Channel:
    """A channel to ``receiver``. Opening one sends nothing; it is how a receiver is checked.

    Raises:
        ConfigError: there is no such kind, or the kind can't work with this receiver.
    """
    if receiver.kind not in _kinds:
        raise ConfigError(
            f"receiver {receiver.name!r} is of unknown kind {receiver.kind!r}; "
            f"there are {', '.join(kinds())}"
        )
    return _factory(receiver.kind)(receiver)


def options_model(kind: str) -> type[BaseModel]:
    """The model of the options that receivers of this kind have."""
    return _factory(kind).options_model


def _factory(kind: str) -> type[Channel]:
    module, _, name = _kinds[kind].partition(":")
    found: type[Channel] = getattr(import_module(module), name)
    return found


register("webhook", "monitoring.notify.webhook:Webhook")
register("alertmanager", "monitoring.notify.alertmanager:Alertmanager", forgets=True)
register("apprise", "monitoring.notify.apprise_channel:AppriseChannel")
register("airflow", "monitoring.notify.airflow_channel:AirflowChannel")
register("log", "monitoring.notify.log_channel:LogChannel")
