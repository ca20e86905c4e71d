"""docs/receivers.md is true: its examples load, and its code verifies a message really sent."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from monitoring.notify import Receiver, load_receivers, notify
from monitoring.notify.airflow_channel import AirflowOptions
from monitoring.notify.alertmanager import AlertmanagerOptions
from monitoring.notify.apprise_channel import AppriseOptions
from monitoring.notify.channels import kinds, open_channel
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.webhook import WebhookOptions

from tests.notify.certificates import write_certificate
from tests.notify.episodes import NOW, add_policy, put_alert
from tests.notify.hooks import listening
from tests.notify.messages import alert, message_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "receivers.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
BLOCKS = [(found[1], found[2]) for found in _BLOCK.finditer(PAGE)]
SPECS = [
    ReceiverSpec.model_validate(entry)
    for language, text in BLOCKS
    if language == "yaml"
    for entry in yaml.safe_load(text)["receivers"]
]


def block(language: str) -> str:
    return next(text for name, text in BLOCKS if name == language)


def test_there_is_an_example_of_every_kind():
    assert {spec.kind for spec in SPECS} == set(kinds())


@pytest.mark.parametrize(
    "spec", [one for one in SPECS if one.kind != "airflow"], ids=lambda spec: spec.name
)
def test_an_example_loads(spec, tmp_path, monkeypatch):
    (tmp_path / "chat.json.j2").write_text(block("jinja"))
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    pem = str(write_certificate(tmp_path / "all.pem"))
    options = {
        name: pem if str(value).startswith("/etc/monitoring/") else value
        for name, value in spec.options.items()
    }
    env = {
        "OPS_WEBHOOK_URL": "https://hooks.example.com/monitoring",
        "OPS_WEBHOOK_SECRET": "k",
        "OPS_PROXY": "http://me:password@proxy.example.com:3128",
        "CHAT_WEBHOOK_URL": "https://chat.example.com/hook",
        "ALERTMANAGER_URL": "https://alertmanager.example.com",
        "DUTY_CHAT_URL": "tgram://123456789:abcdefg_hijklmnopqrstuvwxyzABCDEFGHI/12315544",
    }
    mail = "mailtos://user:password@example.com?to=duty@example.com"
    connection = SimpleNamespace(host=None, password=mail, extra=None)
    loaded = load_receivers(
        env, lambda _id: connection, [spec.model_copy(update={"options": options})]
    )
    assert loaded.errors == {}
    assert [one.name for one in loaded.usable] == [spec.name]


@pytest.mark.parametrize(
    "spec", [one for one in SPECS if one.kind == "airflow"], ids=lambda spec: spec.name
)
def test_an_example_of_airflow_has_valid_options(spec):
    AirflowOptions.model_validate(spec.options)  # tests/notify/test_airflow_channel.py runs such


@pytest.mark.parametrize(
    "model",
    [ReceiverSpec, WebhookOptions, AlertmanagerOptions, AppriseOptions, AirflowOptions],
    ids=lambda model: model.__name__,
)
def test_every_field_is_named(model):
    for name in model.model_fields:
        assert f"`{name}`" in PAGE or f"{name}:" in PAGE, name


def test_its_code_verifies_a_message_that_was_really_sent(sqlite_store):
    code: dict = {}
    exec(compile(block("python"), "docs/receivers.md", "exec"), code)
    genuine = code["is_genuine"]
    add_policy(sqlite_store)
    put_alert(sqlite_store, "sim", service="中文")
    with listening() as hook:
        notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url, secret="k")])
        notify(sqlite_store, now=NOW, receivers=[Receiver("unsigned", hook.url)])
        changing = Receiver("changing", hook.url, secret="new", previous_secret="k")
        notify(sqlite_store, now=NOW, receivers=[changing])
    signed, unsigned, both = hook.received
    now = NOW.timestamp()
    assert genuine("k", signed.headers, signed.body, now)
    assert not genuine("another", signed.headers, signed.body, now)
    for key, holds in (("new", True), ("k", True), ("another", False)):
        assert genuine(key, both.headers, both.body, now) is holds
    assert not genuine("k", signed.headers, signed.body + b" ", now)
    assert not genuine("k", signed.headers, signed.body, now + 400)
    moved = {**signed.headers, "X-Monitoring-Timestamp": str(int(now) + 300)}
    assert not genuine("k", moved, signed.body, now + 300)
    assert not genuine("k", unsigned.headers, unsigned.body, now)
    assert not genuine("k", {}, b"", now)
    assert not genuine("k", {**signed.headers, "X-Monitoring-Signature": "é"}, signed.body, now)


def test_its_template_makes_the_body_it_shows(tmp_path):
    path = tmp_path / "chat.json.j2"
    path.write_text(block("jinja"))
    with listening() as hook:
        receiver = Receiver("chat", hook.url, options={"template": str(path)})
        open_channel(receiver).send(message_of(alert(), alert(service="b")))
    body = hook.received[0].payload
    assert body["services"] == ["sim", "b"]
    assert body["markdown"]["title"].startswith("[FIRING 2]")
