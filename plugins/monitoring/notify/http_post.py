"""What channels over HTTP share: TLS and proxy, posting once, and what an answer means.

A 2xx answer means taken. A 4xx other than 408 and 429 means never; all else is tried again, after
``Retry-After`` (seconds or an HTTP date, at most an hour) where the answer has it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from include.reporting.backoff import retry_after_s
from monitoring.notify.channels import Receipt
from monitoring.notify.definition import Receiver
from monitoring.notify.transport import Route, Transport
from userdb.errors import ConfigError, DeliveryError

#: Characters of an answer that are kept.
KEPT_CHARACTERS = 1000
_LONGEST_RETRY_AFTER_S = 3600.0


class HttpOptions(BaseModel):
    """Options of every kind that posts over HTTP.

    Attributes:
        verify: false takes any certificate of the server: for a try only.
        ca_file: PEM file of the CAs that the server's certificate is checked with.
        client_cert: PEM file of the certificate that this side shows.
        client_key: PEM file of its key, where that isn't in ``client_cert``; not encrypted.
        proxy: URL of an HTTP proxy. One with a password: ``proxy_env``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: bool = True
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: str | None = None

    @field_validator("ca_file", "client_cert", "client_key")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                value.read_bytes()
            except OSError as error:
                raise ValueError(f"{value} can't be read: {error.strerror}") from None
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname
        ):
            raise ValueError("is no URL; write for example http://proxy.example.com:3128")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert")
        if self.ca_file and not self.verify:
            raise ValueError("verify: false and ca_file contradict each other; keep one of them")
        return self

    @property
    def route(self) -> Route:
        cert, key = self.client_cert, self.client_key
        pair = None if cert is None else (str(cert), str(key)) if key else str(cert)
        return Route(str(self.ca_file) if self.ca_file else self.verify, pair, self.proxy)


class HttpPost:
    """Posts to one receiver.

    Raises:
        ConfigError: its URL can't be posted to, or the TLS files hold no certificate or key.
    """

    def __init__(self, receiver: Receiver, options: HttpOptions) -> None:
        receiver.require_http()
        _check_files(receiver, options)
        self._receiver = receiver
        self._transport = Transport(receiver.basic_auth, options.route)

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        sent_at: datetime,
        secrets: Iterable[str] = (),
    ) -> Receipt:
        """Post once.

        Args:
            secrets: what is secret in the body; the answer may repeat it.

        Raises:
            DeliveryError: it was not taken.
        """
        receiver = self._receiver
        secrets = tuple(secrets)
        try:
            answer = self._transport.post(url, body, headers, timeout_s=receiver.timeout_s)
        except DeliveryError as error:
            text = receiver.redact(str(error), secrets)[:KEPT_CHARACTERS]
            raise DeliveryError(text) from None
        text = receiver.redact(answer.text, secrets)[:KEPT_CHARACTERS]
        if 200 <= answer.status < 300:
            return Receipt(answer.status, text)
        raise refusal(text, answer.status, answer.headers, sent_at)

    def close(self) -> None:
        self._transport.close()


def refusal(text: str, status: int, headers: Mapping[str, str], now: datetime) -> DeliveryError:
    """The error for an answer that isn't 2xx."""
    asked = retry_after_s(headers.get("Retry-After"), now)
    return DeliveryError(
        text,
        permanent=is_permanent(status),
        http_status=status,
        # a receiver's slip must not silence it for good
        retry_after_s=None if asked is None else min(asked, _LONGEST_RETRY_AFTER_S),
    )


def is_permanent(status: int) -> bool:
    """Whether the same message would be refused again."""
    return 400 <= status < 500 and status not in (408, 429)


def _check_files(receiver: Receiver, options: HttpOptions) -> None:
    if options.ca_file is None and options.client_cert is None:
        return
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.client_cert is not None:
            # an encrypted key would ask for its password on the terminal
            context.load_cert_chain(options.client_cert, options.client_key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"receiver {receiver.name!r}: ca_file, client_cert or client_key is no PEM file that "
            f"TLS can use ({getattr(error, 'reason', None) or error})"
        ) from None
