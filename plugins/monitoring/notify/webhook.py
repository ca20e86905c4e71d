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
``X-Monitoring-Signature-Previous``
    Only while the secret is being changed: the same, keyed with the previous secret.

To verify, in the receiver, before the body is parsed::

    expected = "sha256=" + hmac.new(
        secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256
    ).hexdigest()
    genuine = any(hmac.compare_digest(expected, one) for one in signatures)  # of both headers
    recent = abs(time.time() - int(timestamp)) < 300  # an old message can't be sent again

What an answer means is in ``monitoring.notify.http_post``.

With ``callbacks: true`` the body has one more field, ``callbacks``: by the alert's fingerprint
{"episode", "token", "url"}, for each that fires. With ``template`` the body is what that template
renders (``monitoring.notify.json_template``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitoring.notify.callbacks import callbacks
from monitoring.notify.channels import Message, Receipt, parse_options
from monitoring.notify.context import contexts_of
from monitoring.notify.definition import Receiver
from monitoring.notify.http_post import HttpOptions, HttpPost
from monitoring.notify.json_template import JsonTemplate
from monitoring.notify.texts import render


class WebhookOptions(HttpOptions):
    """``callbacks``: whether the body has tokens to call back with. ``template``: the file of a
    template for the body; a relative path begins at the folder of policies."""

    callbacks: bool = False
    template: Path | None = None


class Webhook:
    """A channel to one web hook."""

    options_model = WebhookOptions

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._options = parse_options(receiver, WebhookOptions)
        self._post = HttpPost(receiver, self._options)
        path = self._options.template
        self._template = None if path is None else JsonTemplate(receiver, path)

    def send(self, message: Message) -> Receipt:
        """Post the payload.

        Raises:
            DeliveryError: it was not taken.
        """
        receiver = self._receiver
        body, secrets = self._body(message)
        return self._post.post(
            receiver.bare_url,
            body,
            {
                **receiver.headers,
                **headers(message, body, receiver.secret, receiver.previous_secret),
            },
            sent_at=message.sent_at,
            secrets=secrets,
        )

    def close(self) -> None:
        self._post.close()

    def _body(self, message: Message) -> tuple[bytes, list[str]]:
        """The body, and the tokens in it."""
        data: dict[str, Any] = dict(message.payload)
        secrets: list[str] = []
        if self._options.callbacks:
            made = callbacks(self._receiver, message, contexts_of(message.context))
            data["callbacks"] = {mark: asdict(one) for mark, one in made.items()}
            secrets = [one.token for one in made.values()]
        if self._template is not None:
            text = render(self._receiver, message, links=self._options.callbacks)
            return self._template.render(data, text), secrets
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), secrets


def headers(
    message: Message, body: bytes, secret: str | None, previous: str | None = None
) -> dict[str, str]:
    """The headers of a message, signed where there is a secret."""
    timestamp = str(int(message.sent_at.timestamp()))
    made = {
        "Content-Type": "application/json",
        "User-Agent": "monitoring-chain",
        "Idempotency-Key": message.id,
        "X-Monitoring-Timestamp": timestamp,
    }
    for name, key in (("Signature", secret), ("Signature-Previous", previous)):
        if key:
            signed = hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
            made[f"X-Monitoring-{name}"] = f"sha256={signed.hexdigest()}"
    return made
