"""Airflow's connections as receivers.

- schema, host and port make the URL, with the path from ``extra.path``; or the host holds a whole
  URL; or the connection is written as a URI, ``https://host/path``.
- The receiver's name is the connection's id, without a leading ``monitoring_webhook_``.
- ``extra.secret``, else the password of a connection without login, is the signature's key. A
  login and its password are sent as HTTP basic authentication.
- ``extra.previous_secret`` is the key before it, while the receiver changes over.
- ``extra`` may also hold headers, timeout (seconds), send_resolved, max_alerts and kind.

For kind ``apprise`` the password, else the host, is the URL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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


GetConnection = Callable[[str], AirflowConnection]


def from_airflow(conn_id: str) -> AirflowConnection:
    """Airflow's connection.

    Raises:
        ConfigError: Airflow is not installed, or has none of that name.
    """
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
            previous_secret=str(extra["previous_secret"]) if extra.get("previous_secret") else None,
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


def secrets_of(connection: AirflowConnection) -> Iterator[str]:
    """What is secret in it: the password, and fields of extra that are named like secrets."""
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


def apprise_url(conn_id: str, connection: AirflowConnection) -> str:
    """The whole URL that a connection holds.

    Raises:
        ConfigError: it holds none.
    """
    for text in (connection.password, connection.host):
        if text and "://" in text:
            return text.strip()
    raise ConfigError(
        f"connection {conn_id!r} holds no Apprise URL; give it as the connection's password"
    )
