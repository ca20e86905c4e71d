"""A route: which requests it matches, and what becomes of them. Pure.

Parts are brought to one form when they are read, so that what is equal looks equal: hosts in lower
case and sorted, methods in upper case and sorted, header names in lower case, paths without dot
segments, double slashes or a prefix's slash at the end.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from monitoring.registry.definition import Name
from monitoring.routes.regex import normal_regex

PathType = Literal["prefix", "exact", "regex"]
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
MAX_PATH = 1024

_HOST = re.compile(
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
#: What RFC 3986 lets a path hold unescaped.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_HEADER = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")
#: nginx and Traefik both take it as it stands: no quotes, backslashes, $ or control characters.
_VALUE = re.compile(r"[A-Za-z0-9._~!#%&'()*+,;=:@/^|<>?\[\]{} -]{1,256}")
#: What a gateway uses itself.
_RESERVED_HEADERS = frozenset({"host", "connection", "transfer-encoding", "content-length"})


class RouteSpec(BaseModel):
    """What whoever writes the table says of a route."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="unique", examples=["sim-api"])
    hosts: list[Annotated[str, Field(max_length=253)]] = Field(
        default=[],
        max_length=50,
        description="names, or *.example.com for names one label deeper; empty: every host",
        examples=[["api.example.com"]],
    )
    path_type: PathType = Field(
        default="prefix",
        description="prefix: the path itself and all below it; regex: must match the whole path",
    )
    path: str = Field(
        default="/", min_length=1, max_length=MAX_PATH, description="decoded", examples=["/sim"]
    )
    methods: list[Annotated[str, Field(max_length=16)]] = Field(
        default=[], max_length=len(METHODS), description="empty: all", examples=[["GET", "HEAD"]]
    )
    headers: dict[Annotated[str, Field(max_length=128)], str] = Field(
        default={},
        max_length=10,
        description="headers that a request must have, with these very values",
        examples=[{"x-api-version": "2"}],
    )
    service: Name = Field(description="where requests go; must exist", examples=["sim-runner"])
    priority: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="higher wins; else the more specific"
    )
    strip_prefix: bool = Field(
        default=False, description="of a prefix: the service sees the path without it"
    )
    timeout_s: float | None = Field(
        default=None,
        ge=0.001,
        le=3600,
        description="how long the service may take to answer; default: the gateway's own",
    )
    enabled: bool = True

    @field_validator("hosts")
    @classmethod
    def _normal_hosts(cls, value: list[str]) -> list[str]:
        hosts = sorted({host.lower().removesuffix(".") for host in value})
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"{host!r} is no host: write api.example.com or *.example.com, without port"
                )
        return hosts

    @field_validator("methods")
    @classmethod
    def _normal_methods(cls, value: list[str]) -> list[str]:
        methods = sorted({method.upper() for method in value})
        unknown = sorted(set(methods) - set(METHODS))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} are no methods; there are {', '.join(METHODS)}")
        # all of them is the same as any
        return [] if len(methods) == len(METHODS) else methods

    @field_validator("headers")
    @classmethod
    def _normal_headers(cls, value: dict[str, str]) -> dict[str, str]:
        headers = {name.lower(): text.strip() for name, text in sorted(value.items())}
        if len(headers) < len(value):
            raise ValueError("a header is named twice, in another case")
        for name, text in headers.items():
            if not _HEADER.fullmatch(name) or name in _RESERVED_HEADERS:
                raise ValueError(f"a route can't ask for the header {name!r}")
            if not _VALUE.fullmatch(text):
                raise ValueError(
                    f"the header {name} has 1 to 256 plain characters: no quotes, backslashes or $"
                )
        return headers

    @field_validator("timeout_s")
    @classmethod
    def _whole_milliseconds(cls, value: float | None) -> float | None:
        return None if value is None else round(value * 1000) / 1000

    @field_validator("path")
    @classmethod
    def _normal_path(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("path_type")
        if kind != "regex":
            return normal_path(value, prefix=kind == "prefix")
        if not value.removeprefix("^").startswith("/"):
            raise ValueError("a regular expression begins with /, as every path does")
        return normal_regex(value)

    @field_validator("strip_prefix")
    @classmethod
    def _only_of_prefixes(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("path_type", "prefix") != "prefix":
            raise ValueError("only a prefix can be stripped")
        return value

    @property
    def timeout_ms(self) -> int | None:
        return None if self.timeout_s is None else round(self.timeout_s * 1000)

    @property
    def match_key(self) -> str:
        """The same for routes that match the same requests by the same words."""
        parts = [self.hosts, self.path_type, self.path, self.methods, self.headers]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def normal_path(text: str, *, prefix: bool) -> str:
    """``text`` without dot segments and double slashes; a prefix without a slash at its end.

    Raises:
        ValueError: it is no path, or leads above the root.
    """
    if not _PATH.fullmatch(text):
        raise ValueError(
            f"{text!r} must begin with / and hold letters, digits and ._~!$&'()*+,;=:@/- "
            "alone; write it decoded, without query"
        )
    kept: list[str] = []
    segments = re.sub(r"/+", "/", text).split("/")[1:]
    for segment in segments:
        if segment == "..":
            if not kept:
                raise ValueError(f"{text!r} leads above the root")
            kept.pop()
        elif segment not in (".", ""):
            kept.append(segment)
    path = "/" + "/".join(kept)
    if not prefix and kept and segments[-1] in ("", ".", ".."):
        path += "/"
    return path
