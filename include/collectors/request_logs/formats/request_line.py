"""Parts of a request line, of a request's target and of addresses, as DuckDB expressions."""

from __future__ import annotations

#: A request line; what a port scanner sends is no such line and has neither method nor path.
_REQUEST = r"^([A-Za-z]{1,32}) (\S+)(?: HTTP/[\d.]+)?$"
#: The scheme and authority of a target in absolute form: HTTP/2, and requests to a proxy.
_ABSOLUTE = r"^[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)"


def method(line: str) -> str:
    return f"{_taken_apart(line)}.method"


def target(line: str) -> str:
    return f"{_taken_apart(line)}.target"


def _taken_apart(line: str) -> str:
    # one expression for both: DuckDB runs it once
    return f"regexp_extract({line}, '{_REQUEST}', ['method', 'target'])"


def path(target: str) -> str:
    """A target's path, without its query string."""
    bare = f"split_part({target}, '?', 1)"
    return f"""CASE WHEN starts_with({target}, '/') THEN {bare}
                    ELSE regexp_replace({bare}, '{_ABSOLUTE}', '') END"""


def host(target: str) -> str:
    """The host, and port, of a target in absolute form; empty for any other."""
    return f"""CASE WHEN NOT starts_with({target}, '/')
                    THEN regexp_extract({target}, '{_ABSOLUTE}', 1) END"""


def first_address(addresses: str) -> str:
    """The first of addresses between commas: the client, where proxies add themselves."""
    return f"trim(split_part({addresses}, ',', 1))"


def last_address(addresses: str) -> str:
    """The last of an nginx's ``$upstream_addr``: "a:1, b:2" after a retry, "a:1 : b:2" after an
    internal redirect. It is the one that answered."""
    return f"regexp_extract({addresses}, '(\\S+)\\s*$', 1)"


def without_port(address: str) -> str:
    """``10.0.0.1:80``, ``[::1]:80`` and HAProxy's ``::1:80`` without the port, which is there."""
    return f"regexp_replace(regexp_replace({address}, ':\\d+$', ''), '^\\[(.*)\\]$', '\\1')"
