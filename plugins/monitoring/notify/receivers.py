"""Receivers, from Airflow's connections and the environment.

``MONITORING_RECEIVERS`` names Airflow connections, separated by commas. Of each:

- schema, host and port make the URL, with the path from ``extra.path``; or the host holds a whole
  URL; or the connection is written as a URI, ``https://host/path``.
- The receiver's name is the connection's id, without a leading ``monitoring_webhook_``.
- ``extra.secret``, else the password of a connection without login, is the signature's key. A
  login and its password are sent as HTTP basic authentication.
- ``extra`` may also hold headers, timeout (seconds), send_resolved, max_alerts and kind.

``MONITORING_WEBHOOK_URL`` is one more receiver, named ``webhook``; its key is
``MONITORING_WEBHOOK_SECRET``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import quote

from monitoring.notify.definition import Receiver
from userdb.errors import ConfigError

_PREFIX = "monitoring_webhook_"
_SCHEMES = ("http", "https")


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
    """The receivers that are usable, and why others are not: by connection or variable."""

    usable: tuple[Receiver, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


def load_receivers(
    environ: Mapping[str, str] | None = None,
    get_connection: Callable[[str], AirflowConnection] | None = None,
) -> Receivers:
    """The configured receivers. One that is wrong doesn't keep the others from being told.

    Args:
        environ: default ``os.environ``.
        get_connection: default Airflow's own.
    """
    env = os.environ if environ is None else environ
    usable: dict[str, Receiver] = {}
    errors: dict[str, str] = {}

    def add(origin: str, make: Callable[[], Receiver]) -> None:
        try:
            receiver = make()
            if receiver.name in usable:
                raise ConfigError(f"two receivers are named {receiver.name!r}; rename one")
            usable[receiver.name] = receiver
        except ConfigError as error:
            errors[origin] = str(error)

    for text in env.get("MONITORING_RECEIVERS", "").split(","):
        if conn_id := text.strip():
            add(conn_id, lambda conn_id=conn_id: _named(conn_id, get_connection))  # type: ignore[misc]
    url = env.get("MONITORING_WEBHOOK_URL", "").strip()
    if url:
        secret = env.get("MONITORING_WEBHOOK_SECRET") or None
        add("MONITORING_WEBHOOK_URL", lambda: Receiver("webhook", url, secret=secret))
    return Receivers(tuple(usable.values()), errors)


def _named(conn_id: str, get_connection: Callable[[str], AirflowConnection] | None) -> Receiver:
    return receiver_from_connection(conn_id, (get_connection or _from_airflow)(conn_id))


def _from_airflow(conn_id: str) -> AirflowConnection:
    if find_spec("airflow") is None:
        raise ConfigError(
            f"MONITORING_RECEIVERS names the Airflow connection {conn_id!r}, and Airflow is not "
            "installed; install it, or use MONITORING_WEBHOOK_URL"
        )
    from airflow.exceptions import AirflowException
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        connection: AirflowConnection = BaseHook.get_connection(conn_id)
    except (AirflowException, AirflowRuntimeError) as error:
        raise ConfigError(
            f"MONITORING_RECEIVERS names the Airflow connection {conn_id!r}, which can't be read "
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
        return Receiver(
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
