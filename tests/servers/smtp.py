"""A real SMTP server on a free port of 127.0.0.1, which keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class Mailbox:
    """``mails`` came in; while ``refusal`` is set, it is the answer to every mail."""

    login: str
    password: str
    port: int = 0
    refusal: str | None = None
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """What aiosmtpd calls when a mail is complete."""
        if self.refusal is not None:
            return self.refusal
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> Any:
        wanted = (self.login.encode(), self.password.encode())
        ok = isinstance(data, LoginPassword) and (data.login, data.password) == wanted
        return AuthResult(success=ok, handled=False)


class _Controller(Controller):
    """With port 0 the system chooses one; what tries the server out must know it."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def run_smtp(login: str = "robot", password: str = "mail-pass-1") -> Iterator[Mailbox]:
    """Serve a mailbox that takes mails of ``login`` alone."""
    mailbox = Mailbox(login, password)
    controller = _Controller(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        authenticator=mailbox.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()
