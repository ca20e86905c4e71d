"""TLS to a server that has a certificate of its own authority."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.servers.mariadb import PASSWORD, USER, MariaDbServer, run_mariadb
from tests.servers.pki import make_pki
from userdb.errors import UserdbUnavailable
from userdb.store import Store, open_store
from userdb.url import resolve_url

pytestmark = pytest.mark.mariadb

DRIVERS = ("mysql+mysqldb", "mysql+pymysql")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Path) -> Iterator[MariaDbServer]:
    """Takes no connection in the clear over TCP."""
    with run_mariadb(
        f"--ssl-cert={pki}/server.pem",
        f"--ssl-key={pki}/server-key.pem",
        f"--ssl-ca={pki}/ca.pem",
    ) as running:
        running.create_database("userdb")
        running.execute(f"ALTER USER '{USER}'@'127.0.0.1' REQUIRE SSL")
        yield running


def cipher(store: Store) -> str:
    with store.read() as connection:
        return connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_is_known_by_its_authority(
    server: MariaDbServer, pki: Path, tmp_path: Path, driver: str
) -> None:
    url = server.url("userdb", driver)
    store = open_store(f"{url}?ssl_ca={pki}/ca.pem")
    assert cipher(store).startswith("TLS_")
    store.close()
    for asked, said in (
        (f"{url}?ssl_ca={make_pki(tmp_path)}/ca.pem", "(?i)certificate"),
        (f"{url}?ssl_ca={tmp_path}/nowhere.pem", "(?i)no such file|SSL"),
    ):
        refused = open_store(asked)
        with pytest.raises(UserdbUnavailable, match=said) as caught:
            refused.write(lambda _: None)
        assert PASSWORD not in str(caught.value)
        refused.close()


def test_who_does_not_ask_for_tls_is_refused_where_the_server_wants_it(
    server: MariaDbServer,
) -> None:
    """By mysqlclient. PyMySQL takes TLS where it is offered, whoever the server may be."""
    plain = open_store(server.url("userdb", "mysql+mysqldb"))
    with pytest.raises(UserdbUnavailable, match="Access denied") as caught:
        plain.write(lambda _: None)
    assert PASSWORD not in str(caught.value)
    plain.close()


def test_airflows_connection_brings_the_authority_in_its_extra(
    server: MariaDbServer, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {
        "conn_type": "mysql",
        "host": "127.0.0.1",
        "port": server.port,
        "login": USER,
        "password": PASSWORD,
        "schema": "userdb",
        "extra": {"ssl": {"ca": f"{pki}/ca.pem"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_USERDB", json.dumps(fields))
    store = Store(resolve_url())
    assert cipher(store).startswith("TLS_")
    store.close()
