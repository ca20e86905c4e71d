"""Where userdb is: every form it can be given in, and what is said of the wrong ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from userdb.errors import ConfigError
from userdb.store import open_store
from userdb.url import connection_fields, connection_url, parse_url, project_root, resolve_url

PASSWORD = "p@ss:w/rd%41"
SERVER = URL.create(
    "mysql+mysqldb",
    username="u",
    password=PASSWORD,
    host="db.example",
    port=3307,
    database="userdb",
    query={"charset": "utf8mb4"},
)
AS_JSON: dict[str, Any] = {
    "conn_type": "mysql",
    "login": "u",
    "password": PASSWORD,
    "host": "db.example",
    "port": 3307,
    "schema": "userdb",
}
AS_URI = "mysql://u:p%40ss%3Aw%2Frd%2541@db.example:3307/userdb"


@pytest.mark.parametrize(
    "environ",
    [
        {"USERDB_URL": AS_URI},
        {"USERDB_URL": f" {AS_URI}?charset=latin1 \n"},
        {"USERDB_URL": f"{AS_URI}?local_infile=1", "AIRFLOW_CONN_USERDB": "sqlite:////other"},
        {"USERDB_URL": " ", "AIRFLOW_CONN_USERDB": AS_URI},
        {"AIRFLOW_CONN_USERDB": f"{AS_URI}?__extra__=%7B%22charset%22%3A+%22utf8%22%7D"},
        {"AIRFLOW_CONN_USERDB": json.dumps(AS_JSON)},
        {"AIRFLOW_CONN_USERDB": json.dumps({**AS_JSON, "port": "3307", "extra": "{}"})},
    ],
)
def test_a_server(environ: dict[str, str]) -> None:
    found = resolve_url(environ)
    assert found.url == SERVER
    assert found.origin in environ
    assert PASSWORD not in str(found)
    assert "p%40ss" not in str(found)
    assert "***" in str(found)


@pytest.mark.parametrize(
    "extra",
    [{"ssl": {"ca": "/ca.pem", "cert": "/c.pem"}}, '{"ssl": {"ca": "/ca.pem", "cert": "/c.pem"}}'],
)
def test_tls_of_an_airflow_connection(extra: Any) -> None:
    environ = {"AIRFLOW_CONN_USERDB": json.dumps({**AS_JSON, "extra": extra})}
    assert resolve_url(environ).url.query == {
        "ssl_ca": "/ca.pem",
        "ssl_cert": "/c.pem",
        "charset": "utf8mb4",
    }


@pytest.mark.parametrize(
    "text",
    [
        AS_URI,
        f"{AS_URI}?ssl_ca=/ca.pem&ssl_check_hostname=true&connect_timeout=5",
        "mysql://u@/userdb?unix_socket=/run/db.sock",
        "sqlite:////srv/user db.sqlite",
    ],
)
def test_a_url_as_an_airflow_connection_is_the_same_url(text: str) -> None:
    url = parse_url(text, "here")
    fields = connection_fields(url)
    assert connection_url(fields, "there") == url
    # as a row of Airflow's metadata holds it
    assert isinstance(fields.get("extra", ""), str)


@pytest.mark.parametrize(
    "environ",
    [
        {"USERDB_URL": "sqlite:////srv/user db.sqlite"},
        {"AIRFLOW_CONN_USERDB": "sqlite:////srv/user%20db.sqlite"},
        # as Airflow itself writes them
        {"AIRFLOW_CONN_USERDB": "sqlite:///%2Fsrv%2Fuser%20db.sqlite"},
        {"AIRFLOW_CONN_USERDB": "sqlite://%2Fsrv%2Fuser%20db.sqlite"},
        {"AIRFLOW_CONN_USERDB": '{"conn_type": "sqlite", "host": "/srv/user db.sqlite"}'},
        {"AIRFLOW_CONN_USERDB": '{"conn_type": "sqlite", "schema": "/srv/user db.sqlite"}'},
    ],
)
def test_a_file(environ: dict[str, str]) -> None:
    assert resolve_url(environ).url == URL.create("sqlite", database="/srv/user db.sqlite")


def test_the_embedded_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolve_url({})
    assert found.url.database == str(tmp_path / "var" / "userdb.sqlite")
    assert str(found).endswith("(from the embedded default)")
    store = open_store()
    with store.read():
        assert (tmp_path / "var" / "userdb.sqlite").exists()
    store.close()
    monkeypatch.delenv("MONITORING_HOME")
    assert (project_root() / "userdb").is_dir()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense secret", "is not a database URL; write for example"),
        ("mysql://u:secret@h:port/userdb", "is not a database URL"),
        ("postgresql://u:secret@h/userdb", "names a postgresql database; userdb is MySQL 8"),
        ("mysql://u:secret@h", "names no database; add it as the path"),
        ("mysql+asyncmy://u:secret@h/userdb", "names the driver asyncmy.*write mysql://"),
        ("mysql://u:secret@h/userdb?ssl_mode=x", "unknown options ssl_mode; known are charset"),
        ("sqlite://", r"names no file; write sqlite:///relative/path"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/path", "names no file"),
        ("sqlite+aiosqlite:///x", r"names the driver sqlite\+aiosqlite; write sqlite:///path"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_password(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=rf"^USERDB_URL {error}|^USERDB_URL has the {error}") as e:
        resolve_url({"USERDB_URL": text})
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{not json secret", "is not a JSON object"),
        ('{"conn_type": "http", "password": "secret"}', "has the type http; userdb's is mysql or"),
        ("{}", "has the type none"),
        (json.dumps({**AS_JSON, "port": "secret"}), "port is not a number"),
        (json.dumps({**AS_JSON, "extra": "[secret]"}), "extra is not a JSON object"),
        (json.dumps({**AS_JSON, "extra": {"iam": "secret"}}), "unknown options iam"),
        (json.dumps({**AS_JSON, "schema": ""}), "names no database"),
        ("mysql://u:secret@h:port/userdb", "is not a URI as Airflow writes it"),
    ],
)
def test_what_is_wrong_with_an_airflow_connection(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=f"^AIRFLOW_CONN_USERDB.* {error}") as caught:
        resolve_url({"AIRFLOW_CONN_USERDB": text})
    assert "secret" not in str(caught.value)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("userdb.url.find_spec", lambda name: None if name == "MySQLdb" else name)
    assert parse_url("mysql://h/userdb", "url").drivername == "mysql+pymysql"
    with pytest.raises(ConfigError, match="driver mysqldb, which is unknown or not installed"):
        parse_url("mysql+mysqldb://h/userdb", "url")


@pytest.mark.airflow
def test_airflows_own_connection(tmp_path: Path) -> None:
    """Read through Airflow, with the variable in a form that only Airflow's backends see."""
    secrets = tmp_path / "connections.json"
    secrets.write_text(json.dumps({"userdb": AS_JSON}))
    code = "from userdb.url import resolve_url; f = resolve_url(); print(repr(f.url), f.origin)"
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(secrets)}),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    told = done.stdout.strip().splitlines()[-1:]
    assert told == [f"{SERVER!r} Airflow connection userdb"], done.stderr
