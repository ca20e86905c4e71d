"""The web hook's options: TLS, proxy, a template for the body, tokens to call back with."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from monitoring.notify import Receiver, load_receivers
from monitoring.notify.channels import open_channel
from monitoring.notify.receiver_spec import ReceiverSpec
from monitoring.notify.tokens import read_token

from tests.notify.certificates import write_certificate
from tests.notify.episodes import NOW, minutes
from tests.notify.hooks import answer, listening
from tests.notify.messages import EPISODE, URL, alert, message_of
from userdb.errors import ConfigError, DeliveryError

KEY = "callback-key-1"


def send(receiver, message=None):
    channel = open_channel(receiver)
    try:
        return channel.send(message or message_of())
    finally:
        channel.close()


def hooked(hook, **options):
    return Receiver("ops", hook.url, timeout_s=5, callback_secret=KEY, options=options)


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "client", "other"):
        write_certificate(folder / f"{name}.pem", name)
    return folder


@pytest.fixture
def tls(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.pem")
    return context


def test_the_servers_certificate_is_checked_with_ca_file(tls, files):
    with listening(tls=tls) as hook:
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY"):
            send(hooked(hook))
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY"):
            send(hooked(hook, ca_file=str(files / "other.pem")))
        assert send(hooked(hook, ca_file=str(files / "server.pem"))).http_status == 200


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_verify_false_takes_any_certificate(tls):
    with listening(tls=tls) as hook:
        assert send(hooked(hook, verify=False)).http_status == 200


def test_a_client_certificate_is_shown(tls, files):
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(files / "client.pem")
    ca = {"ca_file": str(files / "server.pem")}
    with listening(tls=tls) as hook:
        with pytest.raises(DeliveryError):
            send(hooked(hook, **ca))
        client = str(files / "client.pem")
        assert send(hooked(hook, **ca, client_cert=client)).http_status == 200
        assert send(hooked(hook, **ca, client_cert=client, client_key=client)).http_status == 200


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, r"options\.ca_file: /nowhere/ca\.pem can't be read"),
        ({"ca_file": __file__}, "no PEM file"),
        ({"client_cert": __file__}, "no PEM file"),
        ({"client_key": __file__}, "client_key needs client_cert"),
        ({"verify": False, "ca_file": __file__}, "contradict"),
        ({"proxy": "proxy:3128"}, r"options\.proxy: is no URL"),
        ({"verfy": True}, r"options\.verfy: Extra inputs"),
        ({"template": "/nowhere/body.json"}, r"/nowhere/body\.json: no template: No such file"),
    ],
)
def test_a_wrong_option_is_named(options, says):
    with pytest.raises(ConfigError, match=says) as caught:
        open_channel(Receiver("ops", "https://h.example", options=options))
    assert "receiver 'ops'" in str(caught.value)


# --- proxy ---------------------------------------------------------------------------------------


@contextmanager
def proxy():
    """Takes what is meant for other hosts, and says what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers.get("Proxy-Authorization")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            """Quiet."""

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_goes_through_the_proxy_and_past_the_environments(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with proxy() as (address, asked):
        send(Receiver("ops", "http://hook.invalid/x", options={"proxy": f"http://{address}"}))
    assert asked == [("http://hook.invalid/x", None)]


def test_a_proxys_password_comes_from_the_environment():
    with proxy() as (address, asked):
        spec = ReceiverSpec(
            name="ops", url_env="OPS_URL", options={"proxy_env": "OPS_PROXY"}, language="zh"
        )
        env = {"OPS_URL": "http://hook.invalid/x", "OPS_PROXY": f"http://me:pr0xy-pass@{address}"}
        (receiver,) = load_receivers(env, None, [spec]).usable
        send(receiver)
    assert asked[0][1].startswith("Basic ")
    assert receiver.redact("me:pr0xy-pass@there") == "me:***@there"
    wrong = ReceiverSpec(name="w", url_env="OPS_URL", options={"proxy": env["OPS_PROXY"]})
    errors = load_receivers(env, None, [wrong]).errors
    assert "write proxy_env" in errors["w"]
    assert "pr0xy-pass" not in errors["w"]


# --- template ------------------------------------------------------------------------------------


def templated(folder, text, hook=None, **options):
    path = folder / "body.json.j2"
    path.write_text(text)
    url = hook.url if hook else "https://h.example"
    return Receiver("ops", url, secret="s", options={"template": str(path), **options})


def test_a_template_makes_the_body_and_what_it_makes_is_signed(tmp_path):
    text = """
    {"title": {{ subject | tojson }},
     "state": {{ status | tojson }},
     "services": [{% for one in alerts %}
       {{ one.labels.service | tojson }}{{ "," if not loop.last }}{% endfor %}
     ]}
    """
    odd = 'quote " and \\ and </script> and 中文'
    with listening() as hook:
        receiver = templated(tmp_path, text, hook)
        send(receiver, message_of(alert(service=odd), alert(service="b")))
    got = hook.received[0]
    assert got.payload["services"] == [odd, "b"]
    assert got.payload["state"] == "firing"
    assert got.payload["title"].startswith("[FIRING 2] timeouts")
    assert got.headers["X-Monitoring-Signature"].startswith("sha256=")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{\n"a": {{ status }}\n}',
            r"body\.json\.j2: renders no JSON: .* in line 2 .*'\"a\": firing",
        ),
        ('{\n\n"a": {{ statu | tojson }}}', r"body\.json\.j2:3: .*'statu' is undefined"),
        ('{\n"a": {% if %}}', r"body\.json\.j2:2: no template"),
        ('{"a":\n {{ ().__class__.__bases__ }}}', r"body\.json\.j2:2: SecurityError"),
        ("", "renders no JSON"),
    ],
)
def test_a_wrong_template_is_told_at_load_with_its_line(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        open_channel(templated(tmp_path, text))


def test_a_template_that_fails_for_a_real_message_makes_a_dead_letter(tmp_path):
    text = '{"a": 1,\n "n": {{ 1 // (2 - alerts | length) }}}'
    with listening() as hook:
        receiver = templated(tmp_path, text, hook)
        with pytest.raises(DeliveryError, match=r"body\.json\.j2:2: ZeroDivisionError") as caught:
            send(receiver, message_of(alert(), alert(service="b")))
    assert caught.value.permanent
    assert hook.received == []


# --- tokens --------------------------------------------------------------------------------------


def test_the_body_is_the_payload_field_for_field_without_callbacks():
    message = message_of()
    with listening() as hook:
        send(hooked(hook), message)
    assert hook.received[0].payload == message.payload
    assert "token" not in hook.received[0].body.decode()


def test_with_callbacks_each_firing_alert_has_a_token_and_the_rest_is_as_it_was():
    over = alert(service="over", resolved_at=NOW)
    message = message_of(alert(), over)
    with listening(answer(200)) as hook:
        receiver = hooked(hook, callbacks=True)
        send(receiver, message)
        send(receiver, message_of(alert(), over, sent_at=NOW + minutes(60)))
    body = hook.received[0].payload
    made = body.pop("callbacks")
    assert body == message.payload
    (callback,) = made.values()
    assert list(made) == [message.payload["alerts"][0]["fingerprint"]]
    assert callback["url"] == f"{URL}/monitoring/alerts/ack?token={callback['token']}"
    grant = read_token(KEY, callback["token"], now=NOW)
    assert (grant.episode, grant.receiver, callback["episode"]) == (EPISODE, "ops", EPISODE)
    # the same message in every try
    assert hook.received[1].body == hook.received[0].body


@pytest.mark.parametrize("missing", ["secret", "url"])
def test_without_secret_or_external_url_there_are_no_tokens(missing):
    with listening() as hook:
        receiver = Receiver(
            "ops",
            hook.url,
            callback_secret=None if missing == "secret" else KEY,
            options={"callbacks": True},
        )
        send(receiver, message_of(external_url="" if missing == "url" else URL))
    assert hook.received[0].payload["callbacks"] == {}


def test_an_answer_that_repeats_the_body_is_kept_without_tokens():
    def echo(handler, number):
        handler.reply(500, handler.hook.received[number].body)

    with listening(echo) as hook, pytest.raises(DeliveryError) as caught:
        send(hooked(hook, callbacks=True))
    token = json.loads(hook.received[0].body)["callbacks"].popitem()[1]["token"]
    assert token not in str(caught.value)
    assert '"token":"***"' in str(caught.value)
