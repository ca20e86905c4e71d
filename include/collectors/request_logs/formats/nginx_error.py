"""nginx's error log: failed log-ins, time limits and upstreams that failed.

A row is a message, not a request: nginx writes one for each upstream that it tried. Requests are
counted from the access log, so give the error log a source, and a service, of its own. Messages
that tell of no such failure are left out. There is no status or duration; times are local to the
gateway and name no zone: set the source's ``timezone``.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import LogFormat, Verdict
from include.collectors.request_logs.formats.standard_fields import standard_fields
from include.collectors.request_logs.formats.text_record import TextRecord
from include.collectors.request_logs.formats.times import local_time

_RECORD = TextRecord(
    r"^\x00*(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(debug|info|notice|warn|error|crit|alert|emerg)\] "
    r"\d+#\d+: (?:\*\d+ )?(.*?)"
    # what is not known (client, server) is absent, in messages of the master process all of it
    r"(?:, client: ([^,\s]+)(?:, server: ([^,]*))?"
    # requests are not escaped: what follows ends them
    r'(?:, request: "(.*?)"(?:, subrequest: ".*?")?(?:, upstream: "(.*?)")?'
    r'(?:, host: "([^"]*)")?(?:, referrer: ".*")?)?)?\s*$',
    ("time", "level", "message", "client", "server", "request", "upstream", "host"),
)
_MESSAGE = _RECORD.value("message")

#: By outcome, what messages hold (see nginx's ngx_http_upstream.c and its modules of access).
_SAYS = {
    "timeout": ("upstream timed out", "client timed out"),
    "auth_failure": (
        "password mismatch",
        "was not found in",
        "no user/password was provided",
        "access forbidden by rule",
    ),
    "server_error": (
        "no live upstreams",
        "upstream prematurely closed",
        "while connecting to upstream",
        "while reading response header from upstream",
        "while reading upstream",
        "upstream sent",
    ),
}
#: A warning is of nothing that failed.
_FAILED = f"{_RECORD.value('level')} IN ('error', 'crit', 'alert', 'emerg')"


def _says(outcome: str, text: str) -> str:
    says = f"contains({_MESSAGE}, '{text}')"
    return f"({_FAILED} AND {says})" if outcome == "server_error" else says


_VERDICTS = tuple(
    Verdict(outcome, _says(outcome, text), f"'message={text}'")
    for outcome, texts in _SAYS.items()
    for text in texts
)

NGINX_ERROR = LogFormat(
    name="nginx_error",
    record=_RECORD.record,
    fields={
        **standard_fields(_RECORD),
        "occurred_at": local_time(_RECORD.value("time"), "%Y/%m/%d %H:%M:%S"),
        "user": f"""regexp_extract({_MESSAGE},
            '^user "(.*)"(?:: password mismatch| was not)', 1)""",
        "instance": f"regexp_extract({_RECORD.value('upstream')}, '^[a-z]+://([^/]*)', 1)",
    },
    refusal="is not a line of nginx's error log",
    verdicts=_VERDICTS,
    other=f"{_RECORD.value('client')} IS NULL "
    f"OR NOT coalesce({' OR '.join(one.when for one in _VERDICTS)}, false)",
)
