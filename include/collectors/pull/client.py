"""Asking a node for a page, within a time limit, and believing nothing of what it answers."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import requests
from pydantic import ValidationError

from include.collectors.nodes.wire import Kind, PulledPage
from include.collectors.pull.settings import PullNode
from userdb.errors import CollectionError

#: More is no page: see ``include.collectors.nodes.pages``.
_MAX_BYTES = 64 * 1024 * 1024
_CHUNK = 64 * 1024
#: Items a page.
_LIMITS: dict[Kind, int] = {"events": 500, "requests": 60, "containers": 60}

RawPage = PulledPage[Any]


class NodeClient:
    """A node, for one collection.

    Args:
        now: the time when the collection began.
        timeout_s: seconds from now on in which everything must be done.
        max_skew: how far the node's clock may be from ours.
    """

    def __init__(
        self, node: PullNode, *, now: datetime, timeout_s: float, max_skew: timedelta
    ) -> None:
        self._node = node
        self._now = now
        self._began = time.perf_counter()
        self._timeout_s = timeout_s
        self._max_skew = max_skew
        self._session = requests.Session()
        # by our own hand: else a .netrc would replace it
        self._session.auth = self._authorise

    def close(self) -> None:
        self._session.close()

    @property
    def now(self) -> datetime:
        """The present, by the clock that the collection began with."""
        return self._now + timedelta(seconds=time.perf_counter() - self._began)

    @property
    def remaining_s(self) -> float:
        return self._timeout_s - (time.perf_counter() - self._began)

    def page(
        self, kind: Kind, *, since: str | None, begin: datetime, covered_from: datetime
    ) -> RawPage:
        """The page after the cursor ``since``; its items are as they came.

        Nothing from before ``begin`` is asked for, and coverage from ``covered_from`` on.

        Raises:
            CollectionError: the node can't be reached, is too slow, doesn't answer with a page,
                or its clock is wrong; names it and what to do.
        """
        parameters = {
            "from": begin.isoformat(),
            "covered_from": covered_from.isoformat(),
            "limit": str(_LIMITS[kind]),
        }
        if since is not None:
            parameters["since"] = since
        body = self._get(f"/api/v1/pull/{kind}", parameters)
        try:
            page = RawPage.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self._error(
                f"answered with no page of {kind} ({where or 'body'}: {first['msg']}); "
                "see that its url is that of a node's API"
            ) from None
        skew = page.node_time - self.now
        if abs(skew) > self._max_skew:
            side = "ahead of" if skew > timedelta(0) else "behind"
            raise self._error(
                f"has a clock that is {abs(skew).total_seconds():.0f} s {side} ours, so nothing "
                "of it is taken; correct the clock, it is read on from where it was left"
            )
        return page

    def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        if self.remaining_s <= 0:
            raise self._too_slow()
        try:
            with self._session.get(
                self._node.url + path,
                params=parameters,
                headers={"Accept": "application/json"},
                timeout=self.remaining_s,
                # another address would be sent the key
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    raise self._error(
                        f"answered {response.status_code} to {path}; see its url, and that its "
                        "key has the scope read"
                    )
                return self._read(response)
        except requests.Timeout:
            raise self._too_slow() from None
        except requests.RequestException as error:
            raise self._error(f"can't be read: {_reason(error)}") from None

    def _read(self, response: requests.Response) -> bytes:
        """The body, piece by piece as it comes: a node may send a byte a second for ever."""
        parts: list[bytes] = []
        size = 0
        while True:
            if self.remaining_s <= 0:
                raise self._too_slow()
            try:
                part = response.raw.read1(_CHUNK, decode_content=True)
            except Exception as error:  # urllib3's errors, which requests wraps elsewhere
                raise requests.ConnectionError(error) from None
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > _MAX_BYTES:
                raise self._error(f"answered with more than {_MAX_BYTES} bytes, which is no page")
            parts.append(part)

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._node.key is not None:
            request.headers["Authorization"] = f"Bearer {self._node.key.get_secret_value()}"
        return request

    def _too_slow(self) -> CollectionError:
        return self._error(
            f"did not answer within {self._timeout_s:g} s; see that it works, or raise "
            "pull.timeout_s. What was read is kept"
        )

    def _error(self, what: str) -> CollectionError:
        return CollectionError(f"the node {self._node.name} at {self._node.url} {what}")


def _reason(error: Exception) -> str:
    """The innermost of an error of requests: the others wrap it with addresses."""
    cause: Any = error
    while cause.args and isinstance(cause.args[0], Exception):
        cause = cause.args[0]
    reason = getattr(cause, "reason", None)
    return f"{type(reason or cause).__name__}: {reason or cause}"
