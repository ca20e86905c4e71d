"""One request to ``POST /api/v1/events``, and what its answer means."""

from __future__ import annotations

import encodings.idna
import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from include.reporting.backoff import retry_after_s
from include.reporting.http_settings import HttpSettings
from include.reporting.transport import TransportError
from userdb.events import EventRecord

# What connecting imports late: a process that forks in the middle of an import leaves its child
# with a module that will never be complete.
assert encodings.idna

#: Shorter bodies are sent as they are.
_GZIP_FROM = 1024
#: A longer answer is none of ours.
_MAX_ANSWER = 512 * 1024
_CONNECT_TIMEOUT_S = 3.0


class PostError(TransportError):
    """A batch was not taken.

    ``permanent`` is true where the server works and refuses this very body: its parts may be taken.
    ``retry_after_s`` is how long the server asked to be left alone, if it did.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, permanent=permanent)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Rejection:
    """An event that the server will never take: its place in the batch, and why."""

    index: int
    why: str


@dataclass(frozen=True)
class Answer:
    """How many events were new, how many were there already, and which were rejected."""

    stored: int
    repeated: int
    rejected: tuple[Rejection, ...]


class EventPost:
    """Posts batches through one session. For one thread.

    No text of an error holds the key, or anything else that was sent.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._session = requests.Session()
        # an auth of its own also keeps a .netrc from replacing the key
        self._session.auth = _Bearer(settings.api_key)

    def __call__(self, events: Sequence[EventRecord]) -> Answer:
        """Returns once the server has said that it has the events.

        Raises:
            PostError: it has not.
        """
        try:
            response = self._post(_body(events))
            with response:
                status, headers = response.status_code, response.headers
                body = self._read(response) if status == 200 else b""
        except (requests.Timeout, TimeoutError, ReadTimeoutError):
            raise PostError("the server gave no answer in time") from None
        except (requests.RequestException, HTTPError) as cause:
            # its text may repeat headers
            raise PostError(f"the server can't be reached ({type(cause).__name__})") from None
        if status == 200:
            return _answer(body, len(events))
        raise PostError(
            f"the server answered {status}{_HINTS.get(status, '')}",
            permanent=_is_refused(status, headers.get("Content-Type", "")),
            retry_after_s=retry_after_s(headers.get("Retry-After"), datetime.now(UTC)),
        )

    def _post(self, body: bytes) -> requests.Response:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "monitoring-gateway-client",
            "Accept-Encoding": "identity",  # what is read below is as it came
        }
        if len(body) >= _GZIP_FROM:
            body = gzip.compress(body, 5)
            headers["Content-Encoding"] = "gzip"
        return self._session.post(
            self._settings.endpoint,
            data=body,
            headers=headers,
            timeout=(min(_CONNECT_TIMEOUT_S, self._settings.timeout_s), self._settings.timeout_s),
            allow_redirects=False,  # a redirected POST becomes a GET, or goes to a stranger
            stream=True,
        )

    def _read(self, response: requests.Response) -> bytes:
        deadline = time.monotonic() + self._settings.timeout_s
        body = bytearray()
        # piece by piece as they come: a time-out of requests is one of each read, which a server
        # that trickles would never reach (urllib3 before 2 waits for whole pieces)
        read = getattr(response.raw, "read1", response.raw.read)
        while part := read(8192):
            body += part
            if len(body) > _MAX_ANSWER:
                raise PostError(f"the server's answer is longer than {_MAX_ANSWER} bytes")
            if time.monotonic() > deadline:
                raise PostError("the server gave no whole answer in time")
        return bytes(body)


_HINTS = {
    401: ": MONITORING_API_KEY is missing, unknown, expired or revoked",
    403: ": the key of MONITORING_API_KEY has no scope events:write",
    404: ": MONITORING_URL is not the base address of the API",
    405: ": MONITORING_URL is not the base address of the API",
    301: ", a redirect: MONITORING_URL is not the base address of the API",
    302: ", a redirect: MONITORING_URL is not the base address of the API",
    307: ", a redirect: MONITORING_URL is not the base address of the API",
    308: ", a redirect: MONITORING_URL is not the base address of the API",
}


def _is_refused(status: int, content_type: str) -> bool:
    # too large, as a proxy may say too; or unreadable, but then in the API's own words: something
    # else that answers at the address must not get events rejected
    return status == 413 or (status == 422 and content_type.startswith("application/problem+json"))


class _Bearer(requests.auth.AuthBase):
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _body(events: Sequence[EventRecord]) -> bytes:
    return json.dumps(
        [_fields(event) for event in events], ensure_ascii=False, separators=(",", ":")
    ).encode()


def _fields(event: EventRecord) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(event).items()
        if value is not None
    }


def _answer(body: bytes, sent: int) -> Answer:
    """Raises PostError: it isn't that of the API, so nothing is known to be stored."""
    try:
        given = json.loads(body)
        answer = Answer(
            stored=int(given["stored"]),
            repeated=int(given["repeated"]),
            rejected=tuple(
                Rejection(int(one["index"]), _why(one["field"], str(one["message"])))
                for one in given["rejected"]
            ),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        answer = None
    if (
        answer is None
        or answer.stored + answer.repeated + len(answer.rejected) != sent
        or any(not 0 <= one.index < sent for one in answer.rejected)
    ):
        raise PostError("the answer is not that of the API: does MONITORING_URL lead to it?")
    return answer


def _why(field: str | None, message: str) -> str:
    named = field is None or message.startswith(field)
    return (message if named else f"{field}: {message}")[:500]
