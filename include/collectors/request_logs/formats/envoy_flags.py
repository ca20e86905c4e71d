"""Envoy's response flags: how a request ended, where the status doesn't say, or not all.

The client that went away (DC) counts as nginx's 499 does.
"""

from __future__ import annotations

from include.collectors.request_logs.formats.base import Verdict

#: By outcome, the short names, and the long ones that %RESPONSE_FLAGS_LONG% has.
_FLAGS = {
    "timeout": {
        "UT": "UpstreamRequestTimeout",
        "SI": "StreamIdleTimeout",
        "DT": "DurationTimeout",
        "UMSDR": "UpstreamMaxStreamDurationReached",
        "DC": "DownstreamConnectionTermination",
    },
    "auth_failure": {"UAEX": "UnauthorizedExternalService"},
    "server_error": {
        "UF": "UpstreamConnectionFailure",
        "UH": "NoHealthyUpstream",
        "UC": "UpstreamConnectionTermination",
        "UR": "UpstreamRemoteReset",
        "LR": "LocalReset",
        "UO": "UpstreamOverflow",
        "URX": "UpstreamRetryLimitExceeded",
        "UPE": "UpstreamProtocolError",
        "NC": "NoClusterFound",
        "OM": "OverloadManagerTerminated",
        "DF": "DnsResolutionFailed",
    },
}


def flag_verdicts(flags: str) -> tuple[Verdict, ...]:
    """Verdicts by ``flags``, an expression for them as Envoy writes them: ``UF,URX``."""
    return tuple(
        Verdict(
            outcome,
            f"regexp_matches({flags}, '(?:^|,)(?:{'|'.join([*names, *names.values()])})(?:,|$)')",
            f"'response_flags=' || {flags}",
        )
        for outcome, names in _FLAGS.items()
    )
