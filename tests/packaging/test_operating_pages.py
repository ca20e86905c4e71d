"""docs/operating is true: its commands run, one after the other, and every setting is on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from sqlalchemy import func, select

from include.collectors.config import load_settings
from tests.incident import MINUTE, Incident, whole_hours_ago
from tests.packaging.operating_page import PAGES, ROOT, Shell, blocks, page
from tests.servers.mariadb import MariaDbServer
from tests.servers.monitoring_serve import run_serve
from userdb.migrate import head, upgrade
from userdb.models import MonitorEvent, Series
from userdb.store import Store, open_store

#: Read by code, and nobody's to set.
_INTERNAL = {"MONITORING_X"}


def settings_of_the_code() -> set[str]:
    """Names of environment variables in what is installed and in the shipped settings."""
    sources = [
        path
        for folder in ("plugins", "include", "userdb", "dags")
        for suffix in ("*.py", "*.yaml")
        for path in (ROOT / folder).rglob(suffix)
    ]
    found = {
        name
        for path in sources
        for name in re.findall(
            r"\b(?:MONITORING_[A-Z_]+[A-Z]|USERDB_URL|AIRFLOW_CONN_USERDB)\b",
            path.read_text(encoding="utf-8"),
        )
    }
    return found - _INTERNAL


def test_every_environment_variable_of_the_code_is_on_the_page_and_no_other() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", page("configure"), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == settings_of_the_code()


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((\w+\.md)\)", page("README")))
    assert linked == {path.name for path in PAGES.glob("*.md")} - {"README.md"}


def test_blocks_of_settings_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GW_1_KEY", "k")
    parts = [yaml.safe_load(block) for block in blocks("nodes", "yaml")]
    assert len(parts) == 3
    whole = {name: value for part in parts for name, value in part.items()}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    settings = load_settings(path)
    assert settings.push.nodes == ["gw-2"]
    assert [one.name for one in settings.pull.nodes] == ["gw-1"]
    assert [one.name for one in settings.request_logs.sources] == ["gateway", "gw-3"]


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    written = Incident(tmp_path, whole_hours_ago(2))
    written.write()
    return written


def new_sqlite(folder: Path) -> str:
    (folder / "var").mkdir(exist_ok=True)
    url = f"sqlite:///{folder}/var/userdb.sqlite"
    store = open_store(url)
    upgrade(store)
    store.close()
    return url


@pytest.fixture
def sqlite_shell(incident: Incident) -> Shell:
    """On the incident, with nothing collected yet."""
    url = new_sqlite(incident.folder)
    return Shell(incident.folder, incident.environment(url))


@pytest.fixture
def mariadb_shell(incident: Incident, mariadb_server: MariaDbServer) -> Iterator[Shell]:
    """The same, on a server whose administrator this is."""
    url = mariadb_server.create_database("userdb_page")
    mariadb_server.execute("DROP DATABASE IF EXISTS userdb_restored")
    store = open_store(url)
    upgrade(store)
    store.close()
    socket = mariadb_server.folder / "s"
    (incident.folder / ".my.cnf").write_text(f"[client]\nsocket={socket}\nuser=root\n")
    yield Shell(incident.folder, incident.environment(url))
    mariadb_server.execute("DROP DATABASE userdb_page", "DROP DATABASE IF EXISTS userdb_restored")


def run_incident(shell: Shell, incident: Incident) -> None:
    start, end = incident.at(0).isoformat(), incident.at(60).isoformat()
    shell(f"monitoring run --from {start} --to {end}")


def told(shell: Shell, url: str) -> tuple[object, object]:
    """What status and the alert history say, but for where and when that was asked."""
    status = json.loads(shell(f'USERDB_URL="{url}" monitoring status --format json'))
    for name in ("now", "userdb"):
        del status[name]
    for one in status["collectors"]:
        del one["covered_share"], one["missing"]  # of the day before now
    return status, json.loads(shell(f'USERDB_URL="{url}" monitoring alerts export'))


@contextmanager
def writers(url: str) -> Iterator[threading.Event]:
    """Two processes that write pairs of rows, each pair in a transaction, until the end."""
    code = Path(__file__).with_name("pairs_writer.py")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(code), url, str(number)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
        yield threading.Event()
        for process in processes:
            assert process.poll() is None, "a writer failed"
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def pairs(url: str) -> tuple[int, int]:
    store = open_store(url)
    with store.read() as connection:
        events = connection.scalar(
            select(func.count()).where(MonitorEvent.source == "backup").select_from(MonitorEvent)
        )
        series = connection.scalar(
            select(func.count()).where(Series.family == "backup").select_from(Series)
        )
    store.close()
    return int(events or 0), int(series or 0)


def wait_for_more_pairs(url: str) -> None:
    before, end = pairs(url)[0], time.monotonic() + 60
    while pairs(url)[0] < before + 4:
        assert time.monotonic() < end
        time.sleep(0.05)


def check_restored(shell: Shell, url: str, restored: str, before: object) -> None:
    events, series = pairs(restored)
    assert events == series >= 4  # whole transactions, and those from before the backup
    assert pairs(url)[0] > events  # the others went on
    assert told(shell, restored) == before


def test_a_backup_of_sqlite_that_is_made_while_others_write_is_whole(
    sqlite_shell: Shell, incident: Incident
) -> None:
    shell, url = sqlite_shell, sqlite_shell.environment["USERDB_URL"]
    backup, restore = blocks("backup")[:2]
    run_incident(shell, incident)
    before = told(shell, url)
    with writers(url):
        wait_for_more_pairs(url)
        shell(backup)
        wait_for_more_pairs(url)
    shown = shell(restore)
    assert "timeouts" in shown
    restored = f"sqlite:///{incident.folder}/restored/var/userdb.sqlite"
    check_restored(shell, url, restored, before)


@pytest.mark.mariadb
def test_a_backup_of_a_server_that_is_made_while_others_write_is_whole(
    mariadb_shell: Shell, incident: Incident, mariadb_server: MariaDbServer
) -> None:
    shell, url = mariadb_shell, mariadb_shell.environment["USERDB_URL"]
    backup, restore = blocks("backup")[2:]
    run_incident(shell, incident)
    before = told(shell, url)
    with writers(url):
        wait_for_more_pairs(url)
        shell(re.sub(r"\buserdb \|", "userdb_page |", backup))
        wait_for_more_pairs(url)
    shell(restore)
    check_restored(shell, url, mariadb_server.url("userdb_restored"), before)


@pytest.mark.nightly
def test_the_commands_of_configure_run(sqlite_shell: Shell) -> None:
    (block,) = blocks("configure")
    del sqlite_shell.environment["MONITORING_POLICIES"]  # the shipped ones have tests
    assert "policies are valid, 0 errors" in sqlite_shell(block)


@pytest.mark.parametrize("revision", ["0001", pytest.param("0004", marks=pytest.mark.nightly)])
def test_the_commands_of_upgrade_migrate_from_an_earlier_schema(
    tmp_path: Path, revision: str
) -> None:
    url = f"sqlite:///{tmp_path}/old.sqlite"
    at_revision(url, revision)
    shell = Shell(tmp_path, {"USERDB_URL": url})
    migrate, metadata = blocks("upgrade")
    lines = shell(migrate).splitlines()
    assert lines[0].endswith(f": {revision}")
    assert lines[2].endswith(f": {head()}")
    assert metadata == "airflow db migrate\n"


def at_revision(url: str, revision: str) -> None:
    """A userdb with the schema of an earlier version."""
    from alembic import command

    from userdb.migrate import _config

    store: Store = open_store(url)
    config = _config()

    def work(connection: object) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    store.write(work)
    store.close()


@pytest.mark.mariadb
def test_the_password_of_userdb_is_changed_without_a_gap(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    """From the page Install: a new database and its account; from Rotate secrets: a second one."""
    mariadb_server.execute("DROP DATABASE IF EXISTS userdb")
    (tmp_path / ".my.cnf").write_text(
        f"[client]\nsocket={mariadb_server.folder / 's'}\nuser=root\n"
    )
    host = f"127.0.0.1:{mariadb_server.port}"
    shell = Shell(tmp_path, {"DATABASE_HOST": host})
    # the server's other accounts are none of the page's
    create, first, add, change = (
        re.sub(
            r"(?<=['/])monitoring\b", "page_account", re.sub(r"monitoring_2", "page_account_2", one)
        )
        for one in (*blocks("install")[2:4], *blocks("secrets")[:2])
    )
    try:
        shell(create)
        assert "mysql" in shell(first)
        shell(add)
        shell("monitoring db current")  # the first one still works
        assert head() in shell(change)
        gone = subprocess.run(
            [tmp_path / "bin" / "monitoring", "db", "current"],
            env={
                **shell.environment,
                "USERDB_URL": f"mysql://page_account:a-long-password@{host}/userdb",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert gone.returncode == 1
        assert "a-long-password" not in gone.stderr
    finally:
        mariadb_server.execute(
            "DROP DATABASE IF EXISTS userdb",
            "DROP USER IF EXISTS 'page_account'@'%'",
            "DROP USER IF EXISTS 'page_account_2'@'%'",
        )


def test_the_other_commands_of_secrets_run(sqlite_shell: Shell) -> None:
    dead, create, revoke, airflow = blocks("secrets")[2:]
    sqlite_shell(dead.splitlines()[0])
    assert "gw-1-2026" in sqlite_shell(create)
    sqlite_shell("monitoring key create gw-1-2025 --scope events:write")
    sqlite_shell(revoke)
    assert airflow == "airflow rotate-fernet-key\n"


@pytest.mark.nightly
@pytest.mark.curl
def test_a_node_is_added_as_the_page_says(sqlite_shell: Shell, incident: Incident) -> None:
    shell = sqlite_shell
    key, push, pull, log, afterwards = blocks("nodes")
    run_incident(shell, incident)
    program = incident.folder / "bin" / "monitoring"
    with run_serve([program], shell.environment, incident.folder) as url:
        shell.environment |= {"URL": url, "LOG": str(incident.log)}
        shell(key)
        answer = json.loads(shell(push))
        assert (answer["minutes"]["stored"], answer["covered_refused"]) == (1, None)
        assert json.loads(shell(pull))["items"]
    shown = shell(log)
    assert "nginx_combined" in shown
    assert "simulations" in shown
    assert "push.request" in shell(afterwards)


@pytest.mark.nightly
def test_a_chain_that_is_late_catches_up_as_the_page_says(
    sqlite_shell: Shell, incident: Incident
) -> None:
    shell = sqlite_shell
    look, run, backfill, replay, away, retention = blocks("late")
    # collected lately, and not in the first half hour
    shell(f"monitoring run --from {incident.at(30).isoformat()} --to {incident.at(60).isoformat()}")
    assert "something is wrong" in shell(look)
    shell.environment |= {
        "FROM": incident.at(0).isoformat(),
        "TO": incident.at(60).isoformat(),
    }
    shell(run)
    status = json.loads(shell("monitoring status --format json"))
    (logs,) = [one for one in status["collectors"] if one["name"] == "request_logs"]
    gaps = [datetime.fromisoformat(one["start"]) for one in logs["missing"]]
    assert not any(incident.at(0) <= one < incident.at(60) for one in gaps)
    shown = json.loads(shell("monitoring alerts export"))
    found = [(row["at"], row["to_state"]) for row in shown["transitions"]]
    assert [state for _, state in found] == [state for _, state in incident.expected()]
    shell(replay)
    assert json.loads(shell("monitoring alerts export")) == shown
    shell(away)
    # by the end-to-end tests, and those of the DAG
    assert backfill.startswith("airflow backfill create --dag-id monitoring_chain --from-date")
    assert retention.startswith("airflow dags trigger monitoring_retention --conf")


def test_the_commands_of_logs_print_a_line_for_each_step(
    sqlite_shell: Shell, incident: Incident
) -> None:
    run, grep = blocks("logs")
    shell = sqlite_shell
    shell.environment |= {
        "FROM": incident.at(0).isoformat(),
        "TO": incident.at(60).isoformat(),
        "AIRFLOW_HOME": str(incident.folder),
    }
    shown = shell(run)
    assert "request_logs collected 1200 rows" in shown
    (incident.folder / "logs").mkdir()
    assert shell(grep) == "none\n"
    (example,) = blocks("logs", "json")
    line = json.loads((incident.folder / "lines.jsonl").read_text().splitlines()[0])
    assert json.loads(example).keys() == line.keys()


@pytest.mark.nightly
def test_a_node_without_airflow_is_installed_as_the_page_says(
    sqlite_shell: Shell, incident: Incident
) -> None:
    node, cron = blocks("install")[4:]
    sqlite_shell(node)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    Incident(incident.folder, now - 10 * MINUTE).write(10)
    assert "scored 1 policies" in sqlite_shell(cron)
    (table,) = blocks("install", "text")
    assert cron.strip() in table.replace("\\%", "%")


@pytest.mark.nightly
@pytest.mark.airflow
@pytest.mark.timeout(1200)
def test_a_checkout_is_installed_and_its_secrets_are_changed_as_the_pages_say(
    tmp_path: Path,
) -> None:
    install, airflow = blocks("install")[:2]
    shell = Shell(tmp_path, {})
    shell.environment.pop("MONITORING_HOME")
    block = re.sub(r"git clone \S+", f"git clone -q {ROOT} monitoring-chain", install)
    shown = shell(block, timeout=900)
    assert "var/userdb.sqlite" in shown
    migrate, standalone = airflow.splitlines()
    assert standalone == "bin/airflow standalone"
    checkout = f"cd {tmp_path}/monitoring-chain\n"
    shell(checkout + migrate, timeout=600)
    environment = tmp_path / "monitoring-chain" / "var" / "airflow.env"
    text = environment.read_text()
    add = "bin/airflow connections add hook --conn-type http --conn-host h --conn-password p-1"
    shell(checkout + add, timeout=300)
    new = shell(
        'python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
    ).strip()
    name = "AIRFLOW__CORE__FERNET_KEY="
    environment.write_text(text.replace(name, f"{name}{new},"))
    shell(f"{checkout}bin/{blocks('secrets')[-1]}", timeout=300)
    old = re.search(rf"^{name}(.*)$", text, re.M)
    assert old is not None
    environment.write_text(text.replace(old[1], new))
    get = "bin/airflow connections get hook --output json"
    assert "p-1" in shell(checkout + get, timeout=300)
