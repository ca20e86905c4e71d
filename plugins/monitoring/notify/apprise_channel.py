"""The channel ``apprise``: whatever the library Apprise can tell, by its URL.

Email, SMS, DingTalk, WeCom, Feishu, Slack, Teams, Telegram and a hundred more:
https://appriseit.com/services/. The URL holds secrets, so it comes from a connection or the
environment.

Apprise says how it went in its log alone. The records of our sends are taken out of it: they are
the answer, and they may hold what is secret.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import apprise
from pydantic import BaseModel, ConfigDict

from monitoring.notify.channels import Message, Receipt, parse_options
from monitoring.notify.definition import Receiver
from monitoring.notify.http_post import KEPT_CHARACTERS, is_permanent
from monitoring.notify.texts import Text, render
from monitoring.notify.time_limit import TimeLimit
from userdb.errors import ConfigError, DeliveryError

_STATUS = re.compile(r"\berror=(\d{3})\b")
#: Debug records of Apprise that say why; the others tell of its inner life, the message among it.
_WHY = re.compile(r"exception|response", re.IGNORECASE)
_TYPES = {
    "critical": apprise.NotifyType.FAILURE,
    "error": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
}


class AppriseOptions(BaseModel):
    """``format``: of the body; Apprise turns it into what the service wants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["text", "markdown", "html"] = "text"


class AppriseChannel:
    """A channel to one Apprise URL."""

    options_model = AppriseOptions

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._options = parse_options(receiver, AppriseOptions)
        self._limit = TimeLimit(receiver.timeout_s)
        with _records():
            service = apprise.Apprise.instantiate(receiver.url) if receiver.url else None
        if service is None:
            raise ConfigError(
                f"receiver {receiver.name!r} has no URL that Apprise knows; give one, such as "
                "mailtos://user:password@example.com, as password of the connection or in the "
                "environment variable of url_env"
            )
        # the limit above is for all of it; these end what it leaves behind
        service.socket_connect_timeout = receiver.timeout_s
        service.socket_read_timeout = receiver.timeout_s
        self._service = service

    def send(self, message: Message) -> Receipt:
        """Send once.

        Raises:
            DeliveryError: it was not taken.
        """
        text = render(self._receiver, message)
        sent, said = self._limit.run(lambda: self._notify(message, text))
        answer = self._receiver.redact("; ".join(said), text.secrets)[:KEPT_CHARACTERS]
        if sent:
            return Receipt(None, answer)
        found = _STATUS.search(answer)
        status = int(found[1]) if found else None
        raise DeliveryError(
            answer or "Apprise could not send it and does not say why",
            permanent=status is not None and is_permanent(status),
            http_status=status,
        )

    def close(self) -> None:
        """Nothing to close."""

    def _notify(self, message: Message, text: Text) -> tuple[bool, list[str]]:
        body = text.for_templates()
        with _records() as said:
            sent = self._service.notify(
                title=text.subject,
                body=body[self._options.format],
                notify_type=_type(message),
                body_format=self._options.format,
            )
        return bool(sent), said


def _type(message: Message) -> Any:
    if message.payload["status"] == "resolved":
        return apprise.NotifyType.SUCCESS
    severity = message.payload["commonLabels"].get("severity", "")
    return _TYPES.get(severity, apprise.NotifyType.INFO)


class _Records(logging.Filter):
    """Takes the records of threads that send for us out of Apprise's log."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level
        self._of_thread: dict[int, list[str]] = {}

    def start(self) -> list[str]:
        said: list[str] = []
        self._of_thread[threading.get_ident()] = said
        return said

    def stop(self) -> None:
        self._of_thread.pop(threading.get_ident(), None)

    def filter(self, record: logging.LogRecord) -> bool:
        said = self._of_thread.get(threading.get_ident())
        if said is None:
            return record.levelno >= self._level
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.INFO or _WHY.search(text):
            said.append(text)
        return False


_log = logging.getLogger("apprise")
_filter = _Records(_log.getEffectiveLevel())
_log.addFilter(_filter)
# why a connection failed is said in debug records only; of other threads the filter drops them
_log.setLevel(logging.DEBUG)


@contextmanager
def _records() -> Iterator[list[str]]:
    """What Apprise says in this thread meanwhile."""
    try:
        yield _filter.start()
    finally:
        _filter.stop()
