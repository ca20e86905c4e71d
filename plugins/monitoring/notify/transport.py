"""HTTP POST within a limit of time for all of it.

The time-outs of requests are per read: a receiver that sends a byte a second never exceeds them.
Here a timer shuts the connection down when the time is over, whatever it is waiting for.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from userdb.errors import DeliveryError

#: Bytes of an answer that are looked at.
ANSWER_BYTES = 4096
_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class Answer:
    """What came back; ``text`` is its beginning."""

    status: int
    headers: Mapping[str, str]
    text: str


class _Wire:
    """The connection in use, so that a timer can end it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def connected(self, connection: socket.socket) -> None:
        # a duplicate shuts the same connection down, also once TLS has taken the original over
        with self._lock:
            self._forget()
            self._socket = connection.dup()
            if self.is_cut:
                self._shutdown()

    def cut(self) -> None:
        with self._lock:
            self.is_cut = True
            self._shutdown()

    def close(self) -> None:
        with self._lock:
            self._forget()
            self.is_cut = False

    def _shutdown(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side was faster

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Adapter(HTTPAdapter):
    """One connection at a time, known to ``wire``."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            wire, base = self._wire, pool.ConnectionCls

            class Connection(base):  # type: ignore[misc, valid-type]
                def _new_conn(self) -> socket.socket:
                    connection: socket.socket = super()._new_conn()
                    wire.connected(connection)
                    return connection

            pool.ConnectionCls = Connection
        return pool


class _NoAuth(requests.auth.AuthBase):
    """Keeps requests from putting a password out of .netrc into the place of our own headers."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


@dataclass(frozen=True)
class Route:
    """How to get there.

    Attributes:
        verify: whether the server's certificate is checked, or the file of CAs to check it with.
        client: files of the client's certificate and its key; or one file with both.
        proxy: URL of an HTTP proxy; None: what the environment says.
    """

    verify: bool | str = True
    client: tuple[str, str] | str | None = None
    proxy: str | None = None


_DEFAULT = Route()


class Transport:
    """Posts over one kept connection. Used by one thread at a time."""

    def __init__(self, auth: tuple[str, str] | None = None, route: Route = _DEFAULT) -> None:
        self._auth = _NoAuth() if auth is None else HTTPBasicAuth(*(one.encode() for one in auth))
        self._route = route
        self._wire = _Wire()
        self._session = self._open()

    def _open(self) -> requests.Session:
        session = requests.Session()
        for prefix in ("http://", "https://"):
            session.mount(prefix, _Adapter(self._wire))
        return session

    def close(self) -> None:
        self._session.close()
        self._wire.close()

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float
    ) -> Answer:
        """Post once, following no redirect.

        Raises:
            DeliveryError: no answer came, or none that is HTTP, within ``timeout_s``. The text
                may hold the URL.
        """
        timer = threading.Timer(timeout_s, self._wire.cut)
        timer.daemon = True
        timer.start()
        clean = False
        try:
            with self._session.post(
                url,
                data=body,
                headers=dict(headers),
                auth=self._auth,
                timeout=timeout_s,
                verify=self._route.verify,
                cert=self._route.client,
                proxies=self._proxies,
                allow_redirects=False,
                stream=True,
            ) as response:
                text, clean = self._beginning(response)
                return Answer(response.status_code, response.headers, text)
        except _ERRORS as error:
            if self._wire.is_cut or _is_timeout(error):
                raise DeliveryError(f"no answer within {timeout_s:g} s") from error
            raise DeliveryError(_innermost(error)) from error
        finally:
            timer.cancel()
            if not clean or self._wire.is_cut:
                self.close()
                self._session = self._open()

    @property
    def _proxies(self) -> dict[str, str] | None:
        proxy = self._route.proxy
        return None if proxy is None else {"http": proxy, "https": proxy}

    def _beginning(self, response: requests.Response) -> tuple[str, bool]:
        """The answer's beginning, and whether that was all: then the connection can be kept."""
        content = b""
        try:
            while len(content) < ANSWER_BYTES:
                more = response.raw.read(ANSWER_BYTES - len(content), decode_content=True)
                if not more:
                    return content.decode(errors="replace"), True
                content += more
        except _ERRORS:
            # the status is the answer; its text is only recorded
            return content.decode(errors="replace"), False
        return content.decode(errors="replace"), False


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, requests.Timeout | TimeoutError)


def _innermost(error: BaseException) -> str:
    """What is at the bottom of a transport error, in a line."""
    while True:
        below = getattr(error, "reason", None)
        inner = next((one for one in error.args if isinstance(one, BaseException)), None)
        if isinstance(below, BaseException):
            error = below
        elif inner is not None:
            error = inner
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            break
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
