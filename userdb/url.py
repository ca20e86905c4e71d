"""Which database is userdb: USERDB_URL, else Airflow's connection ``userdb``, else a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from userdb.errors import ConfigError

#: MariaDB and MySQL speak one protocol; SQLAlchemy's dialects are told apart by the server.
_SERVER_BACKENDS = ("mysql", "mariadb")
#: Drivers and the modules that they are.
_DRIVERS = {"mysqldb": "MySQLdb", "pymysql": "pymysql"}
#: Options that both drivers take.
_KNOWN_OPTIONS = frozenset(
    {
        "charset",
        "local_infile",
        "unix_socket",
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "ssl_capath",
        "ssl_cipher",
        "ssl_check_hostname",
    }
)
#: Where a URL came from that Airflow's metadata database holds.
CONNECTION_ORIGIN = "Airflow connection userdb"
#: What Airflow's MySQL provider knows besides, and userdb decides itself.
_IGNORED_EXTRAS = frozenset({"charset", "cursor", "local_infile", "client"})


@dataclass(frozen=True)
class UserdbUrl:
    """A resolved URL and where it came from, for ``monitoring status`` and errors."""

    url: URL
    origin: str

    def __str__(self) -> str:
        return f"{self.url.render_as_string(hide_password=True)} (from {self.origin})"


def project_root() -> Path:
    """The folder that holds ``airflow.cfg``, ``dags`` and ``var``: MONITORING_HOME, else the
    checkout that this package runs from, else the current folder."""
    home = os.environ.get("MONITORING_HOME")
    if home:
        return Path(home)
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "airflow.cfg").exists() else Path.cwd()


def parse_url(text: str, origin: str) -> URL:
    """Parse and normalise a database URL.

    ``mysql://`` means mysqlclient where that is installed, else PyMySQL; text travels as utf8mb4.

    Raises:
        ConfigError: not a database URL, a database other than SQLite, MySQL and MariaDB, a driver
            that isn't installed, or an option that isn't known.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # the text may hold a password: it is not repeated
        raise ConfigError(
            f"{origin} is not a database URL; write for example "
            "sqlite:////srv/userdb.sqlite or mysql://user:password@host:3306/userdb"
        ) from None
    return _normalise(url, origin)


def connection_url(fields: Mapping[str, Any], origin: str) -> URL:
    """The URL of an Airflow connection, given by its fields as in Airflow's JSON form.

    ``extra`` may hold ``unix_socket`` and ``ssl``, as for Airflow's MySQL provider. A connection
    of type ``sqlite`` has the file's path as its host, or as its schema.

    Raises:
        ConfigError: as ``parse_url``.
    """
    kind = str(fields.get("conn_type") or "").replace("-", "_")
    if kind == "sqlite":
        path = "/".join(part for part in (fields.get("host"), fields.get("schema")) if part)
        return _normalise(URL.create(kind, database=path or None), origin)
    if kind.partition("+")[0] not in _SERVER_BACKENDS:
        raise ConfigError(f"{origin} has the type {kind or 'none'}; userdb's is mysql or sqlite")
    extra = fields.get("extra") or {}
    if isinstance(extra, str):
        extra = _json_object(extra, f"{origin}: extra")
    try:
        port = int(fields["port"]) if fields.get("port") else None
    except (TypeError, ValueError):
        raise ConfigError(f"{origin}: port is not a number") from None
    url = URL.create(
        kind,
        username=fields.get("login") or None,
        password=fields.get("password") or None,
        host=fields.get("host") or None,
        port=port,
        database=fields.get("schema") or None,
        query=_options(extra),
    )
    return _normalise(url, origin)


def connection_fields(url: URL) -> dict[str, Any]:
    """The fields of an Airflow connection for a URL of ``parse_url``'s: ``connection_url``'s
    inverse, but for the driver."""
    if url.get_backend_name() == "sqlite":
        return {"conn_type": "sqlite", "host": url.database}
    extra: dict[str, Any] = {}
    for name, value in url.query.items():
        if name.startswith("ssl_"):
            extra.setdefault("ssl", {})[name.removeprefix("ssl_")] = value
        elif name not in _IGNORED_EXTRAS:
            extra[name] = value
    return {
        "conn_type": "mysql",
        "host": url.host,
        "port": url.port,
        "login": url.username,
        "password": url.password,
        "schema": url.database,
        # Airflow turns only what isn't empty into text
        "extra": json.dumps(extra),
    }


def _normalise(url: URL, origin: str) -> URL:
    backend = url.get_backend_name()
    if backend == "sqlite":
        if url.drivername not in ("sqlite", "sqlite+pysqlite"):
            raise ConfigError(f"{origin} names the driver {url.drivername}; write sqlite:///path")
        if url.host or url.database in (None, "", ":memory:"):
            raise ConfigError(
                f"{origin} names no file; write sqlite:///relative/path or sqlite:////absolute/path"
                " (several processes share userdb, so it can't be in memory)"
            )
        return url
    if backend not in _SERVER_BACKENDS:
        raise ConfigError(
            f"{origin} names a {backend} database; userdb is MySQL 8, MariaDB 10.6+ or SQLite"
        )
    if not url.database:
        raise ConfigError(f"{origin} names no database; add it as the path: mysql://…/userdb")
    if url.drivername in _SERVER_BACKENDS:
        driver = "mysqldb" if find_spec("MySQLdb") else "pymysql"
        url = url.set(drivername=f"{backend}+{driver}")
    driver = url.drivername.partition("+")[2]
    if driver not in _DRIVERS or find_spec(_DRIVERS[driver]) is None:
        raise ConfigError(
            f"{origin} names the driver {driver}, which is unknown or not installed; "
            "write mysql:// to take the one that is"
        )
    unknown = sorted(set(url.query) - _KNOWN_OPTIONS)
    if unknown:
        raise ConfigError(
            f"{origin} has the unknown options {', '.join(unknown)}; "
            f"known are {', '.join(sorted(_KNOWN_OPTIONS))}"
        )
    # userdb sets this one itself
    url = url.difference_update_query(["local_infile"])
    return url.update_query_dict({"charset": "utf8mb4"})


def _options(extra: Mapping[str, Any]) -> dict[str, str]:
    """An Airflow connection's extra as options of a URL."""
    options: dict[str, str] = {}
    for name, value in extra.items():
        if name == "ssl" and isinstance(value, Mapping):
            options.update({f"ssl_{key}": str(path) for key, path in value.items()})
        elif name not in _IGNORED_EXTRAS:
            options[name] = str(value)
    return options


def _json_object(text: str, origin: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{origin} is not a JSON object")
    return value


def _from_environment(text: str, origin: str) -> URL:
    """AIRFLOW_CONN_USERDB in either form of Airflow's, without Airflow: URI or JSON."""
    if text.startswith("{"):
        return connection_url(_json_object(text, origin), origin)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{origin} is not a URI as Airflow writes it") from None
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    packed = given.pop("__extra__", None)
    fields = {
        "conn_type": parts.scheme,
        "host": unquote(parts.netloc.rpartition("@")[2].partition(":")[0]),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "schema": unquote(parts.path.removeprefix("/")),
        "port": port,
        "extra": given | (_json_object(packed, f"{origin}: __extra__") if packed else {}),
    }
    return connection_url(fields, origin)


def _airflow_connection(origin: str) -> URL | None:
    if find_spec("airflow") is None:
        return None
    from userdb.airflow_connection import userdb_connection

    fields = userdb_connection()
    return None if fields is None else connection_url(fields, origin)


def resolve_url(environ: Mapping[str, str] | None = None) -> UserdbUrl:
    """Resolve userdb's URL.

    Raises:
        ConfigError: the first source that is set holds no usable URL.
        UserdbUnavailable: Airflow can't tell whether it has the connection.
    """
    env = os.environ if environ is None else environ
    name = "USERDB_URL"
    if text := env.get(name, "").strip():
        return UserdbUrl(parse_url(text, name), name)
    name = "AIRFLOW_CONN_USERDB"
    if text := env.get(name, "").strip():
        return UserdbUrl(_from_environment(text, name), name)
    url = _airflow_connection(CONNECTION_ORIGIN) if environ is None else None
    if url is not None:
        return UserdbUrl(url, CONNECTION_ORIGIN)
    path = project_root() / "var" / "userdb.sqlite"
    return UserdbUrl(URL.create("sqlite", database=str(path)), "the embedded default")
