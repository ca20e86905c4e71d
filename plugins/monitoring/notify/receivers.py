"""Receivers, from routing.yaml, Airflow's connections and the environment.

``receivers:`` of routing.yaml names for each where its address and secrets are: an Airflow
connection, or environment variables. An option whose name ends in ``_env`` names a variable that
holds its value: ``proxy_env`` is ``proxy``. docs/receivers.md shows each kind.

``MONITORING_RECEIVERS`` names Airflow connections, separated by commas
(``monitoring.notify.connections``).
``MONITORING_WEBHOOK_URL`` is one more receiver, named ``webhook``; its key is
``MONITORING_WEBHOOK_SECRET``, and ``MONITORING_WEBHOOK_SECRET_PREVIOUS`` the one before it.
``MONITORING_CALLBACK_SECRET`` is the key of the tokens in messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from monitoring.notify.channels import open_channel
from monitoring.notify.connections import (
    GetConnection,
    apprise_url,
    from_airflow,
    receiver_from_connection,
    secrets_of,
)
from monitoring.notify.definition import Receiver
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.tokens import callback_secret
from userdb.errors import ConfigError

#: Headers that hold secrets, which routing.yaml must not.
_SECRET_HEADERS = ("authorization", "cookie", "token", "key", "secret")


@dataclass(frozen=True)
class Receivers:
    """The receivers that are usable, and why others are not: by name, connection or variable."""

    usable: tuple[Receiver, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


def load_receivers(
    environ: Mapping[str, str] | None = None,
    get_connection: GetConnection | None = None,
    specs: Sequence[ReceiverSpec] = (),
) -> Receivers:
    """The configured receivers. One that is wrong doesn't keep the others from being told.

    Args:
        environ: default ``os.environ``.
        get_connection: default Airflow's own.
        specs: of routing.yaml.
    """
    env = os.environ if environ is None else environ
    get = get_connection or from_airflow
    key = callback_secret(env)
    usable: dict[str, Receiver] = {}
    errors: dict[str, str] = {}

    def add(origin: str, make: Callable[[], Receiver]) -> None:
        try:
            receiver = replace(make(), callback_secret=key)
            open_channel(receiver).close()
            if receiver.name in usable:
                raise ConfigError(f"two receivers are named {receiver.name!r}; rename one")
            usable[receiver.name] = receiver
        except ConfigError as error:
            errors[origin] = str(error)

    for spec in specs:
        add(spec.name, lambda spec=spec: receiver_from_spec(spec, env, get))  # type: ignore[misc]
    for text in env.get("MONITORING_RECEIVERS", "").split(","):
        if conn_id := text.strip():
            add(conn_id, lambda conn_id=conn_id: _named(conn_id, get))  # type: ignore[misc]
    url = env.get("MONITORING_WEBHOOK_URL", "").strip()
    if url:
        secret = env.get("MONITORING_WEBHOOK_SECRET") or None
        previous = env.get("MONITORING_WEBHOOK_SECRET_PREVIOUS") or None
        add(
            "MONITORING_WEBHOOK_URL",
            lambda: Receiver("webhook", url, secret=secret, previous_secret=previous),
        )
    return Receivers(tuple(usable.values()), errors)


def receiver_from_spec(
    spec: ReceiverSpec, environ: Mapping[str, str], get_connection: GetConnection
) -> Receiver:
    """The receiver that an entry of routing.yaml describes.

    Raises:
        ConfigError: a variable or connection that it names is missing, or it holds a secret.
    """
    where = f"receiver {spec.name!r}"
    for header in spec.headers:
        if any(word in header.lower() for word in _SECRET_HEADERS):
            raise ConfigError(
                f"{where}: the header {header!r} holds a secret; give it in extra.headers of the "
                "connection"
            )
    options, hidden = _options(where, spec.options, environ)
    secret, previous = (
        _variable(where, name, environ) if name else None
        for name in (spec.secret_env, spec.previous_secret_env)
    )
    url = _variable(where, spec.url_env, environ) if spec.url_env else ""
    made = Receiver(
        name=spec.name,
        url=url,
        kind=spec.kind,
        secret=secret,
        previous_secret=previous,
        headers=spec.headers,
        timeout_s=spec.timeout.total_seconds(),
        send_resolved=spec.send_resolved,
        max_alerts=spec.max_alerts,
        give_up_after=spec.give_up_after,
        language=spec.language,
        connection=spec.connection,
        options=options,
        hidden=hidden,
    )
    if spec.connection is None:
        return made
    connection = get_connection(spec.connection)
    hidden += tuple(secrets_of(connection))
    if spec.kind == "airflow":  # its notifier opens the connection itself
        return replace(made, hidden=hidden)
    if spec.kind == "apprise":
        return replace(made, url=apprise_url(spec.connection, connection), hidden=hidden)
    address = receiver_from_connection(spec.connection, connection)
    return replace(
        made,
        url=address.url,
        secret=secret or address.secret,
        previous_secret=previous or address.previous_secret,
        headers={**spec.headers, **address.headers},
        hidden=hidden,
    )


def _variable(where: str, name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"{where}: the environment variable {name} is not set; set it")
    return value


def _options(
    where: str, given: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options with what the environment holds filled in, and which of them are secret."""
    options: dict[str, Any] = {}
    hidden: list[str] = []
    for name, value in given.items():
        if isinstance(value, str) and urlsplit(value).password:
            raise ConfigError(
                f"{where}: options.{name} holds a password; write {name}_env with the name of an "
                "environment variable that holds the URL"
            )
        if name.endswith("_env"):
            found = _variable(where, str(value), environ)
            options[name.removesuffix("_env")] = found
            hidden += [found, urlsplit(found).password or ""]
        else:
            options[name] = value
    return options, tuple(one for one in hidden if one)


def _named(conn_id: str, get_connection: GetConnection) -> Receiver:
    return receiver_from_connection(conn_id, get_connection(conn_id))
