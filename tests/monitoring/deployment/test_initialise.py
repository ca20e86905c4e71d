"""The gateway's configuration, with a key of its own that lasts as long as it is valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from monitoring.deployment.initialise import write_gateway_configuration
from monitoring.keys import list_keys, recognise, revoke_key

from userdb.store import Store

TEMPLATE = Path(__file__).resolve().parents[3] / "deploy" / "traefik.yml"
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_gateways_key_is_made_kept_and_replaced_once_it_is_revoked(
    sqlite_store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "traefik.yml"

    def write(now: datetime) -> str:
        write_gateway_configuration(sqlite_store, template=TEMPLATE, target=target, now=now)
        settings = yaml.safe_load(target.read_text())
        bearer: str = settings["providers"]["http"]["headers"]["Authorization"]
        with sqlite_store.read() as connection:
            key = recognise(connection, bearer.removeprefix("Bearer "), now=now)
        assert key.scopes == ("read",)
        return key.name

    first = write(NOW)
    assert target.stat().st_mode & 0o777 == 0o600
    written = target.stat().st_mtime_ns
    assert write(NOW + timedelta(days=400)) == first
    assert target.stat().st_mtime_ns == written
    revoke_key(sqlite_store, first, by="test", now=NOW + timedelta(days=401))
    assert write(NOW + timedelta(days=402)) != first
    target.write_text("providers: []")
    write(NOW + timedelta(days=403))
    with sqlite_store.read() as connection:
        assert len(list_keys(connection)) == 3
