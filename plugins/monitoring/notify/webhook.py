"""The channel ``webhook``: Alertmanager's payload over HTTP POST, signed.

Headers of every message:

``Idempotency-Key``
    The message's id, the same in every try. Messages are delivered at least once: a receiver
    that has seen the key can answer 200 and do nothing.
``X-Monitoring-Timestamp``
    Seconds since 1970 when this try began.
``X-Monitoring-Signature``
    Only with a secret: ``sha256=`` and the hex HMAC-SHA256, keyed with the secret, of the
    timestamp's text, a dot and the body's bytes.

To verify, in the receiver, before the body is parsed::

    expected = "sha256=" + hmac.new(
        secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256
    ).hexdigest()
    genuine = hmac.compare_digest(expected, signature)
    recent = abs(time.time() - int(timestamp)) < 300  # an old message can't be sent again

A 2xx answer means taken. A 4xx other than 408 and 429 means never; all else is tried again, after
``Retry-After`` (seconds or an HTTP date, at most an hour) where the answer has it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from monitoring.notify.channels import Message, Receipt
from monitoring.notify.definition import Receiver
from monitoring.notify.transport import Transport
from userdb.errors import DeliveryError

#: Characters of an answer that are kept.
KEPT_CHARACTERS = 1000
_LONGEST_RETRY_AFTER_S = 3600.0


class Webhook:
    """A channel to one web hook."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport = Transport(receiver.basic_auth)

    def send(self, message: Message) -> Receipt:
        """Post the payload.

        Raises:
            DeliveryError: it was not taken.
        """
        receiver = self._receiver
        body = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            answer = self._transport.post(
                receiver.bare_url,
                body,
                {**receiver.headers, **headers(message, body, receiver.secret)},
                timeout_s=receiver.timeout_s,
            )
        except DeliveryError as error:
            raise DeliveryError(receiver.redact(str(error))[:KEPT_CHARACTERS]) from None
        text = receiver.redact(answer.text)[:KEPT_CHARACTERS]
        if 200 <= answer.status < 300:
            return Receipt(answer.status, text)
        raise DeliveryError(
            text,
            permanent=400 <= answer.status < 500 and answer.status not in (408, 429),
            http_status=answer.status,
            retry_after_s=retry_after(answer.headers.get("Retry-After"), message.sent_at),
        )

    def close(self) -> None:
        self._transport.close()


def headers(message: Message, body: bytes, secret: str | None) -> dict[str, str]:
    """The headers of a message, signed where there is a secret."""
    timestamp = str(int(message.sent_at.timestamp()))
    made = {
        "Content-Type": "application/json",
        "User-Agent": "monitoring-chain",
        "Idempotency-Key": message.id,
        "X-Monitoring-Timestamp": timestamp,
    }
    if secret:
        signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
        made["X-Monitoring-Signature"] = f"sha256={signed.hexdigest()}"
    return made


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that the header asks to wait, at most an hour; None where it asks nothing sensible.

    The limit keeps a receiver's slip from silencing it for good.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = (at - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
