"""How a request ended, by its status: the one table, and DuckDB expressions over it.

499 is nginx's own: the client gave up before the answer. 408 is a client that did not finish its
request in time, 504 an upstream that did not answer in time.
"""

from __future__ import annotations

AUTH_FAILURES = (401, 403)
TIMEOUTS = (408, 499, 504)

#: Any other status from 500 on is server_error; 0 is a connection that ended before an answer.
OUTCOME = f"""CASE
    WHEN status IN {AUTH_FAILURES} THEN 'auth_failure'
    WHEN status IN {TIMEOUTS} THEN 'timeout'
    WHEN status >= 500 THEN 'server_error'
    WHEN status >= 400 OR status < 100 THEN 'client_error'
    ELSE 'ok' END"""

OUTCOME_REASON = "'status=' || status"


def outcome_of(status: int) -> str:
    """The same for one status, for requests that no log tells of."""
    if status in AUTH_FAILURES:
        return "auth_failure"
    if status in TIMEOUTS:
        return "timeout"
    if status >= 500:
        return "server_error"
    return "client_error" if status >= 400 or status < 100 else "ok"
