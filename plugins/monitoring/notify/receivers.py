"""Receivers, from routing.yaml, Airflow's connections and the environment.

``receivers:`` of routing.yaml names for each where its address and secrets are: an Airflow
connection, or environment variables. An option whose name ends in ``_env`` names a variable that
holds its value: ``proxy_env`` is ``proxy``. docs/receivers.md shows each kind.

``MONITORING_RECEIVERS`` names Airflow connections, separated by commas. Of each:

- schema, host and port make the URL, with the path from ``extra.path``; or the host holds a whole
  URL; or the connection is written as a URI, ``https://host/path``.
- The receiver's name is the connection's id, without a leading ``monitoring_webhook_``.
- ``extra.secret``, else the password of a connection without login, is the signature's key. A
  login and its password are sent as HTTP basic authentication.
- ``extra`` may also hold headers, timeout (seconds), send_resolved, max_alerts and kind.

``MONITORING_WEBHOOK_URL`` is one more receiver, named ``webhook``; its key is
``MONITORING_WEBHOOK_SECRET``. ``MONITORING_CALLBACK_SECRET`` is the key of the tokens in messages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from monitoring.notify.channels import open_channel
from monitoring.notify.definition import Receiver
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.tokens import callback_secret
from userdb.errors import ConfigError

_PREFIX = "monitoring_webhook_"
_SCHEMES = ("http", "https")
#: Headers that hold secrets, which routing.yaml must not.
_SECRET_HEADERS = ("authorization", "cookie", "token", "key", "secret")


class AirflowConnection(Protocol):
    """What is read of an Airflow connection."""

    conn_type: str
    host: str | None
    schema: str | None
    port: int | None
    login: str | None
    password: str | None
    extra: str | None


@dataclass(frozen=True)
class Receivers:
    """The receivers that are usable, and why others are not: by name, connection or variable."""

    usable: tuple[Receiver, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


GetConnection = Callable[[str], AirflowConnection]


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
    get = get_connection or _from_airflow
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
        add("MONITORING_WEBHOOK_URL", lambda: Receiver("webhook", url, secret=secret))
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
    secret = _variable(where, spec.secret_env, environ) if spec.secret_env else None
    url = _variable(where, spec.url_env, environ) if spec.url_env else ""
    made = Receiver(
        name=spec.name,
        url=url,
        kind=spec.kind,
        secret=secret,
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
    hidden += tuple(_secrets_of(connection))
    if spec.kind == "airflow":  # its notifier opens the connection itself
        return replace(made, hidden=hidden)
    if spec.kind == "apprise":
        return replace(made, url=_whole_url(spec.connection, connection), hidden=hidden)
    address = receiver_from_connection(spec.connection, connection)
    return replace(
        made,
        url=address.url,
        secret=secret or address.secret,
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


def _secrets_of(connection: AirflowConnection) -> Iterator[str]:
    if connection.password:
        yield connection.password
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        return
    if isinstance(extra, dict):
        for name, value in extra.items():
            if isinstance(value, str) and any(
                word in name.lower() for word in ("secret", "token", "key", "password")
            ):
                yield value


def _whole_url(conn_id: str, connection: AirflowConnection) -> str:
    for text in (connection.password, connection.host):
        if text and "://" in text:
            return text.strip()
    raise ConfigError(
        f"connection {conn_id!r} holds no Apprise URL; give it as the connection's password"
    )


def _named(conn_id: str, get_connection: GetConnection) -> Receiver:
    return receiver_from_connection(conn_id, get_connection(conn_id))


def _from_airflow(conn_id: str) -> AirflowConnection:
    if find_spec("airflow") is None:
        raise ConfigError(
            f"a receiver needs the Airflow connection {conn_id!r}, and Airflow is not installed; "
            "install it, or give the address in an environment variable"
        )
    from airflow.exceptions import AirflowException
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        connection: AirflowConnection = BaseHook.get_connection(conn_id)
    except (AirflowException, AirflowRuntimeError) as error:
        raise ConfigError(
            f"a receiver needs the Airflow connection {conn_id!r}, which can't be read "
            f"({type(error).__name__}); add it under Admin → Connections"
        ) from None
    return connection


def receiver_from_connection(conn_id: str, connection: AirflowConnection) -> Receiver:
    """The receiver that an Airflow connection describes.

    Raises:
        ConfigError: it describes none.
    """
    extra = _extra(conn_id, connection.extra)
    url = _url(conn_id, connection, str(extra.get("path") or ""))
    secret = extra.get("secret")
    if connection.login:
        scheme, _, rest = url.partition("://")
        login, password = (
            quote(connection.login, safe=""),
            quote(connection.password or "", safe=""),
        )
        url = f"{scheme}://{login}:{password}@{rest}"
    elif not secret:
        secret = connection.password
    headers = extra.get("headers") or {}
    if not isinstance(headers, dict):
        raise ConfigError(f"connection {conn_id!r}: extra.headers is not an object of texts")
    try:
        made = Receiver(
            name=conn_id.removeprefix(_PREFIX) or conn_id,
            url=url,
            kind=str(extra.get("kind") or "webhook"),
            secret=str(secret) if secret else None,
            headers={str(name): str(value) for name, value in headers.items()},
            timeout_s=float(extra.get("timeout") or 10),
            send_resolved=_flag(extra.get("send_resolved", True)),
            max_alerts=int(extra.get("max_alerts") or 0),
        )
    except (TypeError, ValueError):
        raise ConfigError(
            f"connection {conn_id!r}: extra's timeout and max_alerts must be numbers, and "
            "send_resolved true or false"
        ) from None
    made.require_http()
    return made


def _extra(conn_id: str, text: str | None) -> dict[str, Any]:
    try:
        extra = json.loads(text or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigError(f"connection {conn_id!r}: extra is not a JSON object")
    return extra


def _url(conn_id: str, connection: AirflowConnection, path: str) -> str:
    host = (connection.host or "").strip()
    if not host:
        raise ConfigError(f"connection {conn_id!r} has no host; give the receiver's")
    schema = (connection.schema or "").strip("/")
    if "://" in host:
        base = host.rstrip("/") if path else host
    else:
        kind = connection.conn_type if connection.conn_type in _SCHEMES else "http"
        scheme = schema if schema in _SCHEMES else kind
        port = f":{connection.port}" if connection.port else ""
        base = f"{scheme}://{host}{port}"
        if schema and schema not in _SCHEMES and not path:
            path = schema  # a connection written as URI has its path there
    return f"{base}/{path.lstrip('/')}" if path else base


def _flag(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text in ("true", "1")
