"""Airflow's own notifiers and connections, as a task or the command line uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from monitoring.notify.channels import Message

from tests.notify.hooks import answer, listening
from tests.notify.messages import alert, message_of
from tests.servers.smtp import run_smtp

pytestmark = pytest.mark.airflow

#: As a user's own package would have it.
_NOTIFIERS = '''
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


NoNotifier = dict
'''


class Airflow:
    """The process, and what it said."""

    def __init__(self, folder: Path) -> None:
        (folder / "users_notifiers.py").write_text(_NOTIFIERS)
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.notify.airflow_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("MONITORING_")},
                    "AIRFLOW_HOME": str(folder),
                    "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())]),
                },
            )

    def send(self, message: Message | None = None, *, env: Any = None, **spec: Any) -> Any:
        """Load a receiver of kind airflow and send a message to it."""
        command = {
            "env": {name: json.dumps(value) for name, value in (env or {}).items()},
            "spec": {"name": "mine", "kind": "airflow", **spec},
            "message": asdict(message or message_of()),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command, default=str), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, self.log
        return json.loads(line)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory) -> Iterator[Airflow]:
    process = Airflow(tmp_path_factory.mktemp("airflow"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def server():
    with run_smtp() as one:
        yield one


@pytest.fixture
def mailbox(server):
    server.mails.clear()
    server.refusal = None
    return server


def connection(mailbox, **changed):
    """A real Airflow connection to the mailbox, for the environment."""
    given = {
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
        **changed,
    }
    return {"AIRFLOW_CONN_OPS_MAIL": given}


def test_a_mail_goes_over_airflows_smtp_connection(airflow, mailbox):
    odd = "{{ 7 * 7 }} <script> & \n中文"
    done = airflow.send(
        message_of(alert(service=odd)),
        env=connection(mailbox),
        connection="ops_mail",
        options={"to": ["a@example.com", "b@example.com"]},
    )
    assert done == {"taken": "taken by SmtpNotifier"}
    (mail,) = mailbox.mails
    assert mail["From"] == "robot@example.com"
    assert mail["To"] == "a@example.com, b@example.com"
    assert mail["Subject"] == "[FIRING] critical timeouts: half of the requests time out"
    page = mail.get_body(("html",)).get_content()
    # what comes from outside is neither a template nor markup
    assert "service {{ 7 * 7 }} &lt;script&gt; &amp; 中文" in page


def test_any_notifier_is_made_of_templated_arguments(airflow, mailbox):
    airflow.send(
        env=connection(mailbox),
        options={
            "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
            "kwargs": {
                "smtp_conn_id": "ops_mail",
                "to": "c@example.com",
                "subject": "{{ monitoring.status }}: {{ monitoring.payload.receiver }}",
                "html_content": "<pre>{{ monitoring.text }}</pre>",
            },
        },
    )
    assert mailbox.mails[0]["Subject"] == "firing: ops"
    assert "Where: service sim" in mailbox.mails[0].get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("refusal", "permanent"), [("550 no such box", True), ("451 come back later", False)]
)
def test_a_refused_mail_is_permanent_or_not_as_its_code_says(airflow, mailbox, refusal, permanent):
    mailbox.refusal = refusal
    done = airflow.send(
        env=connection(mailbox), connection="ops_mail", options={"to": ["a@example.com"]}
    )
    assert refusal[4:] in done["refused"]
    assert done["permanent"] is permanent


def test_a_wrong_password_is_tried_again_and_shown_nowhere(airflow, mailbox):
    secret = "wrong-pass-77"
    done = airflow.send(
        env=connection(mailbox, password=secret),
        connection="ops_mail",
        options={"to": ["a@example.com"]},
    )
    assert "credentials invalid" in done["refused"]
    assert done["permanent"] is False
    assert secret not in str(done) + airflow.log
    assert mailbox.mails == []


def hooked(hook, path=""):
    return {
        "notifier": "users_notifiers.Hook",
        "kwargs": {
            "url": f"{hook.url}{path}",
            "title": "{{ monitoring.subject }}",
            "fields": {"lines": ["{{ monitoring.subject }}"], "n": 1},
        },
    }


def test_arguments_that_airflow_does_not_render_are_rendered_once(airflow):
    odd = alert(annotations={"summary": "{{ 7 * 7 }}"})
    with listening() as hook:
        airflow.send(message_of(odd), options=hooked(hook))
    subject = "[FIRING] critical timeouts: {{ 7 * 7 }}"
    assert hook.received[0].payload == {"title": subject, "fields": {"lines": [subject], "n": 1}}


def test_what_an_http_notifier_was_answered_counts_as_for_a_web_hook(airflow):
    with listening(answer(429, Retry_After="9")) as hook:
        done = airflow.send(options=hooked(hook))
    assert (done["http_status"], done["retry_after_s"], done["permanent"]) == (429, 9.0, False)
    with listening(answer(404)) as hook:
        assert airflow.send(options=hooked(hook))["permanent"] is True


def test_the_secret_of_a_connection_is_not_repeated(airflow):
    token = "T0KEN-OF-THE-CONNECTION"
    with listening(answer(500)) as hook:
        done = airflow.send(
            env={"AIRFLOW_CONN_CHAT": {"conn_type": "http", "password": token}},
            connection="chat",
            options=hooked(hook, f"/{token}"),
        )
    assert "500" in done["refused"]
    assert "/***" in done["refused"]
    assert token not in airflow.log


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
def test_what_can_not_work_is_told_at_load(airflow, options, says):
    unusable = airflow.send(options=options)["unusable"]
    assert says in unusable
    assert "'mine'" in unusable


def test_a_connection_that_airflow_does_not_have_is_told_at_load(airflow):
    done = airflow.send(connection="absent", options={"to": ["a@b.example"]})
    assert "add it under Admin" in done["unusable"]
