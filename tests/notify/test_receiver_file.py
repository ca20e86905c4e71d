"""Receivers of routing.yaml: addresses and secrets come from connections and the environment."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from monitoring.notify import Receiver, deliver, load_receivers, notify
from monitoring.notify.receiver_file import configured_receivers
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.reconcile import reconcile
from monitoring.policy.loader import load_policies

from tests.notify.episodes import NOW, add_policy, put_alert
from tests.notify.hooks import listening
from userdb.errors import ConfigError


def connections(**given):
    """Airflow's connections: id → fields."""

    def get(conn_id):
        if conn_id not in given:
            raise ConfigError(f"no connection {conn_id!r}")
        base = {
            "conn_type": "http",
            **dict.fromkeys(("host", "schema", "port", "login", "password", "extra")),
        }
        fields = given[conn_id]
        extra = fields.get("extra")
        return SimpleNamespace(**{**base, **fields, "extra": extra and json.dumps(extra)})

    return get


def load(env=None, get=None, **spec):
    found = load_receivers(env or {}, get or connections(), [ReceiverSpec(name="ops", **spec)])
    assert found.errors == {}
    return found.usable[0]


def error(env=None, get=None, **spec):
    found = load_receivers(env or {}, get or connections(), [ReceiverSpec(name="ops", **spec)])
    assert found.usable == ()
    return found.errors["ops"]


def test_the_environment_gives_address_and_key():
    env = {"OPS_URL": "https://h.example/x", "OPS_KEY": "k", "MONITORING_CALLBACK_SECRET": "c"}
    made = load(
        env,
        url_env="OPS_URL",
        secret_env="OPS_KEY",
        headers={"X-Team": "core"},
        language="zh",
        send_resolved=False,
        timeout="3s",
        max_alerts=7,
        give_up_after="2h",
    )
    assert made == Receiver(
        "ops",
        "https://h.example/x",
        secret="k",
        headers={"X-Team": "core"},
        timeout_s=3.0,
        send_resolved=False,
        max_alerts=7,
        give_up_after=timedelta(hours=2),
        language="zh",
        callback_secret="c",
    )


def test_a_connection_gives_address_key_and_secret_headers():
    get = connections(
        hook={
            "conn_type": "https",
            "host": "h.example",
            "password": "k",
            "extra": {"headers": {"Authorization": "Bearer t0ken-1"}, "path": "in"},
        }
    )
    made = load(None, get, connection="hook", headers={"X-Team": "core"})
    assert (made.url, made.secret) == ("https://h.example/in", "k")
    assert made.headers == {"X-Team": "core", "Authorization": "Bearer t0ken-1"}
    assert made.redact("with t0ken-1") == "with ***"


@pytest.mark.parametrize("field", ["password", "host"])
def test_a_connection_gives_an_apprise_url(field):
    url = "json://me:pass-word-1@h.example/T0KEN-123"
    made = load(None, connections(chat={field: url}), kind="apprise", connection="chat")
    assert made.url == url
    assert "pass-word-1" not in made.redact(url)


def test_kind_log_needs_nothing():
    assert load(kind="log").address == "-"


@pytest.mark.parametrize(
    ("env", "spec", "says"),
    [
        ({}, {}, "'ops' has no usable URL"),
        ({}, {"url_env": "OPS_URL"}, "'ops': the environment variable OPS_URL is not set"),
        ({"U": "https://x"}, {"url_env": "U", "secret_env": "K"}, "variable K is not set"),
        ({"U": "https://x"}, {"url_env": "U", "options": {"proxy_env": "P"}}, "P is not set"),
        ({"U": "ftp://x"}, {"url_env": "U"}, "has no usable URL"),
        ({}, {"connection": "absent"}, "no connection 'absent'"),
        ({}, {"kind": "pigeon"}, "unknown kind 'pigeon'"),
        ({}, {"kind": "log", "options": {"level": 1}}, "options.level"),
        ({"U": "https://x"}, {"url_env": "U", "headers": {"X-Api-Key": "s3cret"}}, "'X-Api-Key'"),
        ({}, {"kind": "apprise", "connection": "empty"}, "'empty' holds no Apprise URL"),
    ],
)
def test_what_is_wrong_or_missing_is_named(env, spec, says):
    told = error(env, connections(empty={"host": "h"}), **spec)
    assert says in told
    assert "s3cret" not in told


_FILE = """\
receivers:
  - name: good
    kind: log
  - name: typo
    kindd: log
  - kind: log
  - name: two
    connection: a
    url_env: B
  - name: good
    kind: log
  - name: last
    url_env: LAST_URL
"""


def test_one_wrong_entry_never_stops_the_others_and_its_place_is_named(tmp_path):
    path = tmp_path / "routing.yaml"
    path.write_text(_FILE)
    env = {"LAST_URL": "https://x.example", "MONITORING_WEBHOOK_URL": "https://y.example"}
    found = configured_receivers(env, connections(), path)
    assert [one.name for one in found.usable] == ["good", "last", "webhook"]
    assert found.errors == {
        "typo": f"{path}:5: receivers[1].kindd: Extra inputs are not permitted",
        f"{path}:6": f"{path}:6: receivers[2].name: Field required",
        "two": f"{path}:7: receivers[3]: connection and url_env both give an address; keep one of "
        "them",
        "good": f"{path}:10: receivers[4].name: two receivers are named 'good'; rename one",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("receivers: {a: 1}", ":1: receivers: must be a list"),
        ("receivers: [", ":1: "),
        ("", None),
        ("route: {}", None),
    ],
)
def test_a_file_that_has_no_list_of_receivers(tmp_path, text, says):
    path = tmp_path / "routing.yaml"
    path.write_text(text)
    found = configured_receivers({}, connections(), path)
    assert found.usable == ()
    assert (says is None) == (found.errors == {})
    assert says is None or says in found.errors[str(path)]


def test_a_receiver_of_the_file_beside_the_policies_is_told(sqlite_store, tmp_path, monkeypatch):
    for name in ("MONITORING_RECEIVERS", "MONITORING_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    (tmp_path / "routing.yaml").write_text("receivers: [{name: ops, url_env: OPS_URL}]\n")
    loaded = load_policies()
    assert (loaded.errors, loaded.policies) == ((), ())  # it is no file of policies
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a")
    with listening() as hook:
        monkeypatch.setenv("OPS_URL", hook.url)
        report = notify(sqlite_store, now=NOW, deadline_s=5)
        assert (report.sent, report.errors) == (1, {})
        put_alert(sqlite_store, "a", resolved_at=NOW)
        reconcile(sqlite_store, [Receiver("ops", hook.url)], now=NOW)
        assert deliver(sqlite_store, now=NOW, deadline_s=5).sent == 1
    assert [one.payload["status"] for one in hook.received] == ["firing", "resolved"]
