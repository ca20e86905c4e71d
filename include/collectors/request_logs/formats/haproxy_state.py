"""What HAProxy's two log formats have in common: their beginning, and the termination state.

The state's first letter says who ended the session: C the client, S the server, P the proxy (a
rule, or a limit), R a lack of resources, I an error of HAProxy's own, D a server that went down,
U a backup that was no longer needed, K an operator; c and s are the client's and the server's time
limit. The second says in which phase; D is the transfer of data.
(https://docs.haproxy.org/2.6/configuration.html#8.5)
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import Verdict

#: Client's address and port, time of accepting or of the request, frontend, backend, server.
CLIENT = r"(?:^\x00*|\s)(\S+):\d+ \[([^\]]+)\] \S+ ([^\s/]+)/(\S+)"
#: Connections of the process, frontend, backend and server, retries; places in both queues.
COUNTERS = r" \d+/\d+/\d+/\d+/\+?\d+ \d+/\d+"
#: What HAProxy logs beside requests: starting, health checks, handshakes that failed.
OTHER = (
    r"(?:^\x00*|: )(?:Proxy \S+ (?:started|stopped)|(?:Backup )?[Ss]erver \S+/\S+ (?:is|was) "
    r"|(?:backend|proxy) \S+ has no server available|Health check for |Stopping |Pausing "
    r"|\S+:\d+ \[[^\]]+\] \S+: (?:SSL handshake|Connection|Timeout))"
)


def state_verdicts(state: str, status: str | None) -> tuple[Verdict, ...]:
    """Verdicts by the termination state; of connections (no ``status``) all have one.

    A client that left before an answer counts as nginx's 499 does.
    """
    reason = f"'termination_state=' || {state}"

    def verdict(outcome: str, when: str) -> Verdict:
        return Verdict(outcome, when, reason)

    timeouts = verdict("timeout", f"left({state}, 1) IN ('c', 's')")
    failures = verdict("server_error", f"left({state}, 1) IN ('S', 'R', 'I', 'D', 'U', 'K')")
    if status is not None:
        return (
            timeouts,
            failures,
            verdict("timeout", f"{status} IS NULL AND left({state}, 1) = 'C'"),
            verdict("client_error", f"{status} IS NULL"),
        )
    return (
        timeouts,
        failures,
        verdict("server_error", f"{state} IN ('PC', 'PT')"),
        verdict("timeout", f"{state} IN ('CC', 'CQ')"),
        verdict("client_error", f"left({state}, 1) IN ('C', 'P')"),
        verdict("ok", "true"),
    )
