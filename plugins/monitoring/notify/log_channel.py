"""The channel ``log``: writes the message's text to the log. For a first try."""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict

from monitoring.notify.channels import Message, Receipt, parse_options
from monitoring.notify.definition import Receiver
from monitoring.notify.texts import render

log = logging.getLogger(__name__)


class LogOptions(BaseModel):
    """None."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LogChannel:
    """Needs no address."""

    options_model = LogOptions

    def __init__(self, receiver: Receiver) -> None:
        parse_options(receiver, LogOptions)
        self._receiver = receiver

    def send(self, message: Message) -> Receipt:
        """Log the text, without links that act: logs are no place for them."""
        text = render(self._receiver, message, links=False)
        log.info("receiver %s: %s\n%s", self._receiver.name, text.subject, text.plain)
        return Receipt(None, f"logged {text.subject}")

    def close(self) -> None:
        """Nothing to close."""
