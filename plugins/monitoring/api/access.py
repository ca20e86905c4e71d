"""Who may do what: each route states its scope, and nothing is open by default.

Machines send a key (``Authorization: Bearer``, ``X-API-Key``, or as Sentry's clients do). People
come with Airflow's login, where the app is mounted in Airflow: ``login`` of the app then asks.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from urllib.parse import urlsplit

from cachetools import TTLCache
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from monitoring.api.rate_limit import RateLimiter
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, ApiKey, Scope, looks_like_key, recognise
from userdb.errors import AccessError
from userdb.store import Store

__all__ = ["KnownKeys", "Login", "Principal", "Scope", "requires"]

#: Says who of the people asks, or raises HTTPException (401, 403) where they may not do it.
Login = Callable[[Request, Scope], Awaitable["Principal"]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="monitoring"'}
_SENTRY_KEY = re.compile(r"\bsentry_key=([^,\s]+)")


@dataclass(frozen=True)
class Principal:
    """Who asks: ``name`` is ``key:`` or ``user:`` and their name, for audits."""

    name: str


class Requires(SecurityBase):
    """A dependency that lets callers pass who may do ``scope``, and says who they are."""

    def __init__(self, scope: Scope) -> None:
        assert scope in SCOPES
        self.scope = scope
        # what FastAPI says of it in the API's description
        self.model = HTTPBearerModel(
            description="An API key of `monitoring key create`, or a token of Airflow's login"
        )
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Principal:
        presented = _presented_key(request)
        if presented is None:
            login: Login | None = request.app.state.login
            if login is None:
                raise HTTPException(401, "send an API key as Authorization: Bearer", _CHALLENGE)
            person = await login(request, self.scope)
            _refuse_cross_site(request)
            return person
        key = await _recognised(request.app, presented)
        _limiter(request.app).take(key)
        if self.scope not in key.scopes:
            raise HTTPException(403, f"the API key {key.name} lacks the scope {self.scope}")
        return Principal(f"key:{key.name}")


def requires(scope: Scope) -> Requires:
    """The dependency for routes of ``scope``."""
    return Requires(scope)


class KnownKeys:
    """Keys that were recognised within the last second, so that a busy sender's is not read from
    userdb at every request. So a revoked key is good for a second more, and no longer.
    """

    def __init__(self) -> None:
        self._keys: TTLCache[str, ApiKey] = TTLCache(maxsize=1024, ttl=1)
        self._lock = Lock()

    def get(self, text: str) -> ApiKey | None:
        """The key, if it was put in within the last second and has not expired."""
        with self._lock:
            key = self._keys.get(text)
        return key if key is not None and key.state(datetime.now(UTC)) == "active" else None

    def put(self, text: str, key: ApiKey) -> None:
        with self._lock:
            self._keys[text] = key


async def _recognised(app: FastAPI, text: str) -> ApiKey:
    known: KnownKeys = app.state.known_keys
    key = known.get(text)
    if key is None:
        key = await run_in_threadpool(_read, app, text)
        known.put(text, key)
    return key


def _read(app: FastAPI, text: str) -> ApiKey:
    # not a dependency: userdb isn't touched for who brings no key
    store: Store = app.dependency_overrides.get(get_store, get_store)()
    try:
        with store.read() as connection:
            return recognise(connection, text, now=datetime.now(UTC))
    except AccessError as error:
        raise HTTPException(401, str(error), _CHALLENGE) from None


def _limiter(app: FastAPI) -> RateLimiter:
    limiter: RateLimiter = app.state.limiter
    return limiter


def _presented_key(request: Request) -> str | None:
    """The key that the request brings; None where it brings none, or Airflow's token."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer" and (
        looks_like_key(credentials) or request.app.state.login is None
    ):
        return credentials
    given = request.headers.get("x-api-key")
    if given is not None:
        return given
    sentry = _SENTRY_KEY.search(request.headers.get("x-sentry-auth", ""))
    if sentry:
        return sentry[1]
    return request.query_params.get("sentry_key")


def _refuse_cross_site(request: Request) -> None:
    """A browser adds its cookies to what other sites make it send: those may not change anything.

    Browsers say where a request comes from in Sec-Fetch-Site, old ones in Origin; whoever sends a
    token by header is no victim of theirs.
    """
    if request.method in _SAFE_METHODS or "authorization" in request.headers:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    same = (
        site == "same-origin"
        if site is not None
        else origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    )
    if not same:
        raise HTTPException(
            403, "a write by cookie must come from this site's own pages; send a token or a key"
        )
