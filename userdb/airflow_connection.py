"""Airflow's connection ``userdb``, read through Airflow itself."""

from __future__ import annotations

import os
import sys
from typing import Any

from userdb.errors import UserdbUnavailable


def userdb_connection() -> dict[str, Any] | None:
    """The connection's fields, named as in Airflow's JSON form, or None where Airflow has none.

    Fields and not its URI, which is no SQLAlchemy URL: a SQLite path is percent-encoded in it.

    Outside Airflow's own processes the metadata database is asked only where AIRFLOW_HOME says
    that one is meant: otherwise merely importing Airflow would create one.

    Raises:
        UserdbUnavailable: Airflow could not say whether there is one. Taking the embedded file
            then would split the data over two databases.
    """
    if "airflow" not in sys.modules and not os.environ.get("AIRFLOW_HOME"):
        return None
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        connection = BaseHook.get_connection("userdb")
    except AirflowNotFoundException:
        return None
    except AirflowRuntimeError as error:
        raise UserdbUnavailable(
            f"Airflow could not look up its connection userdb: {error}. "
            "Try again, or set USERDB_URL."
        ) from error
    names = ("conn_type", "host", "login", "password", "schema", "port", "extra")
    return {name: getattr(connection, name) for name in names}
