"""Airflow's connections, read through Airflow itself."""

from __future__ import annotations

import os
import sys
from typing import Any

from userdb.errors import ConfigError, UserdbUnavailable


def userdb_connection() -> dict[str, Any] | None:
    """The fields of the connection ``userdb``, or None where Airflow has none.

    Raises:
        UserdbUnavailable: Airflow could not say whether there is one. Taking the embedded file
            then would split the data over two databases.
    """
    try:
        return connection_fields("userdb")
    except ConfigError as error:
        raise UserdbUnavailable(f"{error} Or set USERDB_URL.") from error


def connection_fields(conn_id: str) -> dict[str, Any] | None:
    """The connection's fields, named as in Airflow's JSON form, or None where Airflow has none.

    Fields and not its URI, which is no SQLAlchemy URL: a SQLite path is percent-encoded in it.

    Outside Airflow's own processes the metadata database is asked only where AIRFLOW_HOME says
    that one is meant: otherwise merely importing Airflow would create one.

    Raises:
        ConfigError: Airflow could not say whether there is one.
    """
    if "airflow" not in sys.modules and not os.environ.get("AIRFLOW_HOME"):
        return None
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
    except AirflowRuntimeError as error:
        raise ConfigError(
            f"Airflow could not look up its connection {conn_id}: {error}. Try again."
        ) from error
    names = ("conn_type", "host", "login", "password", "schema", "port", "extra")
    return {name: getattr(connection, name) for name in names}
