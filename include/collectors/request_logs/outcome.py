"""How a request ended: DuckDB expressions for what its log says, and the one table of statuses.

499 is nginx's own: the client gave up before the answer. 408 is a client that did not finish its
request in time, 504 an upstream that did not answer in time.
"""

from __future__ import annotations

from include.collectors.request_logs.formats import LogFormat

AUTH_FAILURES = (401, 403)
TIMEOUTS = (408, 499, 504)
#: As long as its column.
_REASON_LENGTH = 64

#: Any other status from 500 on is server_error; 0 is a connection that ended before an answer.
_BY_STATUS = f"""CASE
    WHEN status IN {AUTH_FAILURES} THEN 'auth_failure'
    WHEN status IN {TIMEOUTS} THEN 'timeout'
    WHEN status >= 500 THEN 'server_error'
    WHEN status >= 400 OR status < 100 THEN 'client_error'
    ELSE 'ok' END"""


def told_sql(log_format: LogFormat) -> str:
    """Columns ``told`` and ``told_by`` over ``record``: outcome and reason of the first verdict
    that holds; null where none does."""
    if not log_format.verdicts:
        return "NULL::VARCHAR AS told, NULL::VARCHAR AS told_by"
    outcomes, reasons = (
        " ".join(f"WHEN {one.when} THEN {then}" for one, then in pairs)
        for pairs in (
            [(one, f"'{one.outcome}'") for one in log_format.verdicts],
            [(one, one.reason) for one in log_format.verdicts],
        )
    )
    return f"CASE {outcomes} END AS told, CASE {reasons} END AS told_by"


def outcome_sql(log_format: LogFormat) -> str:
    """Columns ``outcome`` and ``outcome_reason`` over ``status``, ``told`` and ``told_by``."""
    name = log_format.status_name.replace("'", "''")
    by_status = f"'{name}=' || status"
    if not log_format.verdicts:
        return f"{_BY_STATUS} AS outcome, left({by_status}, {_REASON_LENGTH}) AS outcome_reason"
    return (
        f"coalesce(told, {_BY_STATUS}) AS outcome, "
        f"left(coalesce(replace(told_by, chr(0), '\ufffd'), {by_status}), {_REASON_LENGTH}) "
        "AS outcome_reason"
    )


def outcome_of(status: int) -> str:
    """The same for one status, for requests that no log tells of."""
    if status in AUTH_FAILURES:
        return "auth_failure"
    if status in TIMEOUTS:
        return "timeout"
    if status >= 500:
        return "server_error"
    return "client_error" if status >= 400 or status < 100 else "ok"
