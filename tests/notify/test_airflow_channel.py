"""Airflow's own notifiers and connections, as a task or the command line uses them."""

from __future__ import annotations

import json
import sys
import types

import pytest
from monitoring.notify import Receiver, load_receivers
from monitoring.notify.channels import open_channel
from monitoring.notify.receiver_spec import ReceiverSpec

from tests.notify.hooks import answer, listening
from tests.notify.messages import alert, message_of
from tests.servers.smtp import run_smtp
from userdb.errors import ConfigError, DeliveryError

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module", autouse=True)
def _airflows_own_home(tmp_path_factory):
    """Airflow makes a folder where it is imported: not in the home of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture(scope="module")
def mailbox():
    with run_smtp() as one:
        yield one


@pytest.fixture
def smtp_connection(mailbox, monkeypatch):
    """A real Airflow connection to the mailbox, from the environment."""
    mailbox.mails.clear()
    mailbox.refusal = None
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": mailbox.port,
        "login": mailbox.login,
        "password": mailbox.password,
        "extra": {
            "from_email": "robot@example.com",
            "disable_ssl": True,
            "disable_tls": True,
            "retry_limit": 0,
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_OPS_MAIL", json.dumps(connection))
    return connection


def loaded(**fields):
    found = load_receivers({}, None, [ReceiverSpec(name="mail", kind="airflow", **fields)])
    assert found.errors == {}
    return found.usable[0]


def send(receiver, message=None):
    channel = open_channel(receiver)
    try:
        return channel.send(message or message_of())
    finally:
        channel.close()


@pytest.mark.usefixtures("smtp_connection")
def test_a_mail_goes_over_airflows_smtp_connection(mailbox):
    receiver = loaded(connection="ops_mail", options={"to": ["a@example.com", "b@example.com"]})
    odd = "{{ 7 * 7 }} <script> & \n中文"
    receipt = send(receiver, message_of(alert(service=odd)))
    assert receipt.text == "taken by SmtpNotifier"
    (mail,) = mailbox.mails
    assert mail["From"] == "robot@example.com"
    assert mail["To"] == "a@example.com, b@example.com"
    assert mail["Subject"] == "[FIRING] critical timeouts: half of the requests time out"
    page = mail.get_body(("html",)).get_content()
    # what comes from outside is neither a template nor markup
    assert "service {{ 7 * 7 }} &lt;script&gt; &amp; 中文" in page


@pytest.mark.usefixtures("smtp_connection")
def test_any_notifier_is_made_of_templated_arguments(mailbox):
    receiver = loaded(
        options={
            "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
            "kwargs": {
                "smtp_conn_id": "ops_mail",
                "to": "c@example.com",
                "subject": "{{ monitoring.status }}: {{ monitoring.payload.receiver }}",
                "html_content": "<pre>{{ monitoring.text }}</pre>",
            },
        }
    )
    send(receiver)
    assert mailbox.mails[0]["Subject"] == "firing: ops"
    assert "Where: service sim" in mailbox.mails[0].get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("refusal", "permanent"), [("550 no such box", True), ("451 come back later", False)]
)
@pytest.mark.usefixtures("smtp_connection")
def test_a_refused_mail_is_permanent_or_not_as_its_code_says(mailbox, refusal, permanent):
    receiver = loaded(connection="ops_mail", options={"to": ["a@example.com"]})
    mailbox.refusal = refusal
    with pytest.raises(DeliveryError, match=refusal[4:]) as caught:
        send(receiver)
    assert caught.value.permanent is permanent


def test_a_wrong_password_is_tried_again_and_shown_nowhere(
    mailbox, smtp_connection, monkeypatch, caplog, capfd
):
    secret = "wrong-pass-77"
    smtp_connection["password"] = secret
    monkeypatch.setenv("AIRFLOW_CONN_OPS_MAIL", json.dumps(smtp_connection))
    receiver = loaded(connection="ops_mail", options={"to": ["a@example.com"]})
    assert receiver.redact(secret) == "***"
    with pytest.raises(DeliveryError, match="credentials invalid") as caught:
        send(receiver)
    assert not caught.value.permanent
    told = capfd.readouterr()
    for text in (str(caught.value), caplog.text, repr(receiver), told.out, told.err):
        assert secret not in text
    assert mailbox.mails == []


@pytest.fixture
def notifiers(monkeypatch):
    """A module of notifiers, as a user's own package would have."""
    import requests
    from airflow.sdk import BaseNotifier

    class Hook(BaseNotifier):
        """Knows ``title`` as a template, and ``fields`` not."""

        template_fields = ("title",)

        def __init__(self, url, title, fields):
            super().__init__()
            self.url, self.title, self.fields = url, title, fields

        def notify(self, context):
            body = {"title": self.title, "fields": self.fields}
            requests.post(self.url, json=body, timeout=5).raise_for_status()

    module = types.ModuleType("users_notifiers")
    module.Hook = Hook
    module.NoNotifier = dict
    monkeypatch.setitem(sys.modules, "users_notifiers", module)


def hooked(hook, secret=""):
    options = {
        "notifier": "users_notifiers.Hook",
        "kwargs": {
            "url": f"{hook.url}{secret}",
            "title": "{{ monitoring.subject }}",
            "fields": {"lines": ["{{ monitoring.subject }}"], "n": 1},
        },
    }
    return Receiver("mine", kind="airflow", options=options, hidden=(secret,))


@pytest.mark.usefixtures("notifiers")
def test_arguments_that_airflow_does_not_render_are_rendered_once():
    odd = alert(annotations={"summary": "{{ 7 * 7 }}"})
    with listening() as hook:
        send(hooked(hook), message_of(odd))
    subject = "[FIRING] critical timeouts: {{ 7 * 7 }}"
    assert hook.received[0].payload == {"title": subject, "fields": {"lines": [subject], "n": 1}}


@pytest.mark.usefixtures("notifiers")
def test_what_an_http_notifier_was_answered_counts_as_for_a_web_hook():
    slow_down = answer(429, Retry_After="9")
    with listening(slow_down) as hook, pytest.raises(DeliveryError, match="429") as caught:
        send(hooked(hook, "/T0KEN-IN-THE-URL"))
    assert (caught.value.http_status, caught.value.retry_after_s) == (429, 9.0)
    assert "T0KEN-IN-THE-URL" not in str(caught.value)
    with listening(answer(404)) as hook, pytest.raises(DeliveryError) as caught:
        send(hooked(hook))
    assert caught.value.permanent


@pytest.mark.usefixtures("notifiers")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give either notifier"),
        ({"to": ["a@b.example"], "notifier": "x.Y"}, "give either notifier"),
        ({"to": ["a@b.example"], "kwargs": {"x": 1}}, "give notifier too"),
        ({"notifier": "users_notifiers.NoNotifier"}, "is no Airflow notifier"),
        ({"notifier": "users_notifiers.Absent"}, "there is no notifier users_notifiers.Absent"),
        (
            {"notifier": "airflow.providers.nosuch.notifications.X"},
            "install its provider, apache-airflow-providers-nosuch",
        ),
        ({"notifier": "users_notifiers.Hook"}, "Hook can't be made of options.kwargs"),
        (
            {
                "notifier": "users_notifiers.Hook",
                "kwargs": {"url": "u", "title": "", "fields": "{{ x"},
            },
            "Hook can't be made of options.kwargs",
        ),
    ],
)
def test_what_can_not_work_is_told_at_load(options, says):
    with pytest.raises(ConfigError, match=says) as caught:
        open_channel(Receiver("mine", kind="airflow", options=options))
    assert "'mine'" in str(caught.value)


def test_a_connection_that_airflow_does_not_have_is_told_at_load():
    spec = ReceiverSpec(name="m", kind="airflow", connection="absent", options={"to": ["a@b.c"]})
    assert "add it under Admin" in load_receivers({}, None, [spec]).errors["m"]
