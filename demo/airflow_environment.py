"""The environment of a scratch Airflow: the checkout's DAGs, plugins and airflow.cfg, nothing else
of the user's."""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from urllib.parse import urlsplit

from demo.processes import LOOPBACK, ROOT

#: The administrator's name.
USER = "admin"

#: Names that could lead a scratch Airflow to the user's own, or change what is tested.
_USERS_OWN = ("AIRFLOW", "MONITORING_", "USERDB_URL")


def inherited_environment() -> dict[str, str]:
    """This process's environment without what concerns Airflow, the chain and userdb."""
    return {k: v for k, v in os.environ.items() if not k.startswith(_USERS_OWN)}


def scratch_settings(home: Path, url: str, database: str, passwords: Path) -> dict[str, str]:
    """Airflow's settings as environment variables, with new secrets.

    Args:
        home: AIRFLOW_HOME.
        url: where the api-server will answer, with its port.
        database: SQLAlchemy's URL of the metadata.
        passwords: the JSON file with the administrator's password.
    """
    logs = home / "logs"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(ROOT / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "dag_processor"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        # Airflow hides that one from tasks; the retention of metadata is one
        "MONITORING_METADATA_URL": database,
        # tasks call the last of these: with the port alone changed they would call 8080
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(urlsplit(url).port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Airflow expands $ and ~ in values: neither is in these
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "MONITORING_WATCHDOG_MEMORY": str(home / "watchdog.json"),
        "MONITORING_CALLBACK_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        # people wait for a demo and for tests: from one task to the next without a nap
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # the checkout doesn't change meanwhile
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), LOOPBACK, "localhost"])),
        "PYTHONUNBUFFERED": "1",
    }
