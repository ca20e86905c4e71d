"""The limit of time holds for all of a request, through TLS too."""

from __future__ import annotations

import ssl
import time

import pytest
from monitoring.notify.transport import Transport

from tests.notify import hooks
from tests.notify.certificates import write_certificate
from tests.notify.hooks import listening
from userdb.errors import DeliveryError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, with its key, in one file."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "hook.pem")


@pytest.fixture
def tls(certificate, monkeypatch):
    """The hooks' side of TLS; the certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def transport():
    opened = Transport()
    yield opened
    opened.close()


def test_it_posts_through_tls_and_keeps_the_connection(tls, transport):
    with listening(tls=tls) as hook:
        for _ in range(3):
            answer = transport.post(hook.url, b"{}", {}, timeout_s=5)
    assert hook.url.startswith("https://")
    assert (answer.status, answer.text, len(hook.received)) == (200, "thanks", 3)


@pytest.mark.parametrize("behave", [hooks.never, hooks.drip])
def test_a_slow_answer_through_tls_is_cut_off(tls, transport, behave):
    with listening(behave, tls=tls) as hook:
        started = time.perf_counter()
        with pytest.raises(DeliveryError, match=r"no answer within 0\.5 s"):
            transport.post(hook.url, b"{}", {}, timeout_s=0.5)
        assert 0.4 < time.perf_counter() - started < 2
    with listening(tls=tls) as hook:
        assert transport.post(hook.url, b"{}", {}, timeout_s=5).status == 200


def test_a_certificate_that_is_not_trusted_is_an_error(tls, transport, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with listening(tls=tls) as hook, pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY"):
        transport.post(hook.url, b"{}", {}, timeout_s=5)


def test_an_endless_body_is_not_read_to_its_end(transport):
    def endless(handler, _number):
        handler.send_response(200)
        handler.end_headers()
        while not handler.hook.over.is_set():
            handler.wfile.write(b"x" * 65536)

    with listening(endless) as hook:
        answer = transport.post(hook.url, b"{}", {}, timeout_s=5)
    assert (answer.status, len(answer.text)) == (200, 4096)


def test_a_redirect_is_not_followed(transport):
    with listening() as elsewhere, listening(hooks.answer(307, Location=elsewhere.url)) as hook:
        assert transport.post(hook.url, b"{}", {}, timeout_s=5).status == 307
        assert elsewhere.received == []
