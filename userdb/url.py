"""Which database is userdb: USERDB_URL, else Airflow's connection ``userdb``, else a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from userdb.errors import ConfigError

#: MariaDB and MySQL speak one protocol; SQLAlchemy's dialects are told apart by the server.
_SERVER_BACKENDS = ("mysql", "mariadb")


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
        ConfigError: not a database URL, or a database other than SQLite, MySQL and MariaDB.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # the text may hold a password: it is not repeated
        raise ConfigError(
            f"{origin} is not a database URL; write for example "
            "sqlite:////srv/userdb.sqlite or mysql://user:password@host:3306/userdb"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
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
    return url.update_query_dict({"charset": "utf8mb4"})


def _airflow_connection() -> str | None:
    if find_spec("airflow") is None:
        return None
    from userdb.airflow_connection import userdb_uri

    return userdb_uri()


def resolve_url(environ: Mapping[str, str] | None = None) -> UserdbUrl:
    """Resolve userdb's URL.

    Raises:
        ConfigError: the first source that is set holds no usable URL.
    """
    env = os.environ if environ is None else environ
    for name in ("USERDB_URL", "AIRFLOW_CONN_USERDB"):
        if env.get(name, "").strip():
            text = env[name].strip()
            if name == "AIRFLOW_CONN_USERDB" and text.startswith("{"):
                break  # Airflow's JSON form: Airflow parses it
            return UserdbUrl(parse_url(text, name), name)
    uri = _airflow_connection() if environ is None else None
    if uri:
        origin = "Airflow connection userdb"
        return UserdbUrl(parse_url(uri, origin), origin)
    path = project_root() / "var" / "userdb.sqlite"
    return UserdbUrl(URL.create("sqlite", database=str(path)), "the embedded default")
