"""Receivers from the environment and from Airflow's connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from monitoring.notify import Receiver, load_receivers
from monitoring.notify.channels import open_channel, register
from monitoring.notify.connections import receiver_from_connection
from monitoring.notify.receiver_spec import ReceiverSpec

from userdb.errors import ConfigError


def connection(extra=None, **fields):
    given = {
        "conn_type": "http",
        "host": "hooks.example.com",
        "schema": None,
        "port": None,
        "login": None,
        "password": None,
        "extra": None if extra is None else json.dumps(extra),
    }
    return SimpleNamespace(**{**given, **fields})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (connection(), "http://hooks.example.com"),
        (connection(schema="https", port=8443), "https://hooks.example.com:8443"),
        (connection({"path": "/a/b?c=d"}, port=80), "http://hooks.example.com:80/a/b?c=d"),
        (connection(host="https://h.example/a/b"), "https://h.example/a/b"),
        (connection({"path": "c"}, host="https://h.example/"), "https://h.example/c"),
        # as Airflow reads https://hooks.example.com:1/services/x
        (
            connection(conn_type="https", port=1, schema="services/x"),
            "https://hooks.example.com:1/services/x",
        ),
        (connection(conn_type="generic", schema="https"), "https://hooks.example.com"),
    ],
)
def test_a_connections_url(given, url):
    assert receiver_from_connection("monitoring_webhook_ops", given) == Receiver("ops", url)


def test_the_password_is_the_signatures_key():
    assert receiver_from_connection("ops", connection(password="k")).secret == "k"
    both = receiver_from_connection("ops", connection({"secret": "s"}, password="k"))
    assert both.secret == "s"


def test_the_key_before_it_signs_too_while_receivers_change_over():
    made = receiver_from_connection("ops", connection({"previous_secret": "o"}, password="k"))
    assert (made.secret, made.previous_secret) == ("k", "o")
    env = {
        "MONITORING_WEBHOOK_URL": "https://h.example",
        "MONITORING_WEBHOOK_SECRET": "new-key",
        "MONITORING_WEBHOOK_SECRET_PREVIOUS": "old-key",
        "NEW": "n",
        "OLD": "o",
    }
    spec = ReceiverSpec(
        name="ops", url_env="MONITORING_WEBHOOK_URL", secret_env="NEW", previous_secret_env="OLD"
    )
    hook = {one.name: one for one in load_receivers(env, specs=[spec]).usable}
    assert (hook["webhook"].secret, hook["webhook"].previous_secret) == ("new-key", "old-key")
    assert (hook["ops"].secret, hook["ops"].previous_secret) == ("n", "o")
    assert hook["webhook"].redact("said: new-key old-key") == "said: *** ***"


def test_a_login_is_sent_as_basic_authentication():
    made = receiver_from_connection(
        "ops", connection({"secret": "s"}, login="me@x", password="p/w:%")
    )
    assert made.basic_auth == ("me@x", "p/w:%")
    assert made.secret == "s"
    assert made.bare_url == "http://hooks.example.com"
    assert receiver_from_connection("o", connection(login="me", password="p")).secret is None


def test_extra_holds_the_rest():
    extra = {
        "headers": {"X-A": 1},
        "timeout": "3",
        "send_resolved": "False",
        "max_alerts": 7,
        "verify": True,
    }
    made = receiver_from_connection("ops", connection(extra))
    assert made.headers == {"X-A": "1"}
    assert (made.timeout_s, made.send_resolved, made.max_alerts) == (3.0, False, 7)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (connection(host=""), "has no host"),
        (connection(extra=[1]), "not a JSON object"),
        (connection(host="a b"), "no usable URL"),
        (connection(host="ftp://x"), "no usable URL"),
        (connection({"timeout": "soon"}), "must be numbers"),
        (connection({"send_resolved": "perhaps"}), "true or false"),
        (connection({"headers": ["x"]}), "headers is not an object"),
        (connection({"headers": {"X": "a\r\nY: b"}}), "header 'X' can't be sent"),
        (connection({"timeout": -1}), "timeout"),
        (connection({"max_alerts": -1}), "max_alerts"),
    ],
)
def test_a_wrong_connection_names_itself_and_what_is_wrong(given, text):
    with pytest.raises(ConfigError, match=text) as caught:
        receiver_from_connection("ops", given)
    assert "ops" in str(caught.value)


def test_one_wrong_receiver_does_not_silence_the_others():
    given = {"monitoring_webhook_a": connection(), "b": connection(host="")}
    loaded = load_receivers(
        {
            "MONITORING_RECEIVERS": " monitoring_webhook_a, b,,a ",
            "MONITORING_WEBHOOK_URL": "https://x.example/hook",
            "MONITORING_WEBHOOK_SECRET": "s",
        },
        lambda conn_id: given.get(conn_id, connection()),
    )
    assert [one.name for one in loaded.usable] == ["a", "webhook"]
    assert loaded.usable[1].secret == "s"
    assert set(loaded.errors) == {"a", "b"}
    assert "two receivers are named 'a'" in loaded.errors["a"]


def test_a_wrong_url_is_not_repeated():
    loaded = load_receivers({"MONITORING_WEBHOOK_URL": "htp://me:hunter2@x"})
    assert loaded.usable == ()
    assert "hunter2" not in str(loaded)


def test_nothing_configured_is_no_receivers():
    assert load_receivers({}).usable == ()


_LOAD = """
import json
from monitoring.notify import load_receivers
loaded = load_receivers()
made = [(one.name, one.url, one.secret) for one in loaded.usable]
print(json.dumps([made, dict(loaded.errors)]))
"""


@pytest.mark.airflow
def test_airflows_own_connections(tmp_path):
    ops = {"conn_type": "http", "host": "h.example", "password": "k", "port": 81}
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "MONITORING_RECEIVERS": "monitoring_webhook_ops,as_uri,absent",
            "AIRFLOW_CONN_MONITORING_WEBHOOK_OPS": json.dumps(ops),
            "AIRFLOW_CONN_AS_URI": "https://h.example:82/services/x?secret=s",
        },
        capture_output=True,
        check=True,
        text=True,
    )
    made, errors = json.loads(loaded.stdout.splitlines()[-1])
    assert made == [
        ["ops", "http://h.example:81", "k"],
        ["as_uri", "https://h.example:82/services/x", "s"],
    ]
    assert list(errors) == ["absent"]
    assert "add it under Admin" in errors["absent"]


def test_a_channel_is_registered_once():
    with pytest.raises(ConfigError, match="registered twice"):
        register("webhook", "elsewhere:Webhook")
    with pytest.raises(ConfigError, match="unknown kind 'pigeon'; there are airflow"):
        open_channel(Receiver("ops", "http://x", kind="pigeon"))
