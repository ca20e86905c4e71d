"""Airflow's connection ``userdb``, read through Airflow itself."""

from __future__ import annotations

import os
import sys


def userdb_uri() -> str | None:
    """The connection's URI, or None where Airflow has none.

    Outside Airflow's own processes the metadata database is asked only where AIRFLOW_HOME says
    that one is meant: otherwise merely importing Airflow would create one.
    """
    if "airflow" not in sys.modules and not (
        os.environ.get("AIRFLOW_HOME") or os.environ.get("AIRFLOW_CONN_USERDB")
    ):
        return None
    from airflow.exceptions import AirflowNotFoundException
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        connection = BaseHook.get_connection("userdb")
    except (AirflowNotFoundException, AirflowRuntimeError):
        return None
    uri: str = connection.get_uri()
    return uri
