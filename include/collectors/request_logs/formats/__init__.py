"""Log formats by name: a module each, and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from include.collectors.request_logs.formats.apache_combined import APACHE_COMBINED
from include.collectors.request_logs.formats.apache_common import APACHE_COMMON
from include.collectors.request_logs.formats.apisix_json import APISIX_JSON
from include.collectors.request_logs.formats.base import FIELDS, FormatKind, LogFormat, fixed
from include.collectors.request_logs.formats.caddy_json import CADDY_JSON
from include.collectors.request_logs.formats.envoy_json import ENVOY_JSON
from include.collectors.request_logs.formats.envoy_text import ENVOY_TEXT
from include.collectors.request_logs.formats.haproxy_http import HAPROXY_HTTP
from include.collectors.request_logs.formats.haproxy_tcp import HAPROXY_TCP
from include.collectors.request_logs.formats.kong_json import KONG_JSON
from include.collectors.request_logs.formats.mapped_json import MAPPED_JSON
from include.collectors.request_logs.formats.nginx_combined import NGINX_COMBINED
from include.collectors.request_logs.formats.nginx_error import NGINX_ERROR
from include.collectors.request_logs.formats.nginx_json import NGINX_JSON
from include.collectors.request_logs.formats.own_string import APACHE_LOG_FORMAT, NGINX_LOG_FORMAT
from include.collectors.request_logs.formats.traefik_clf import TRAEFIK_CLF
from include.collectors.request_logs.formats.traefik_json import TRAEFIK_JSON
from userdb.errors import ConfigError

__all__ = ["FIELDS", "FORMATS", "FormatKind", "LogFormat", "format_named", "index_formats"]


def index_formats(kinds: Iterable[FormatKind]) -> dict[str, FormatKind]:
    """Formats by name.

    Raises:
        ConfigError: two have the same name.
    """
    found: dict[str, FormatKind] = {}
    for kind in kinds:
        if kind.name in found:
            raise ConfigError(f"the log format {kind.name!r} is registered twice")
        found[kind.name] = kind
    return found


FORMATS = index_formats(
    [
        fixed(NGINX_COMBINED),
        fixed(NGINX_JSON),
        NGINX_LOG_FORMAT,
        fixed(NGINX_ERROR),
        fixed(APACHE_COMMON),
        fixed(APACHE_COMBINED),
        APACHE_LOG_FORMAT,
        fixed(TRAEFIK_JSON),
        fixed(TRAEFIK_CLF),
        fixed(CADDY_JSON),
        fixed(ENVOY_JSON),
        fixed(ENVOY_TEXT),
        fixed(KONG_JSON),
        fixed(APISIX_JSON),
        fixed(HAPROXY_HTTP),
        fixed(HAPROXY_TCP),
        MAPPED_JSON,
    ]
)


def format_named(name: str, source: str, options: Mapping[str, Any] | None = None) -> LogFormat:
    """The format that the log source ``source`` asks for, with its ``options``.

    Raises:
        ConfigError: there is no such format, or its options are wrong.
    """
    where = f"request_logs source {source!r}"
    kind = FORMATS.get(name)
    if kind is None:
        raise ConfigError(
            f"{where}: there is no log format {name!r}; set format to one of {', '.join(FORMATS)}"
        )
    if kind.options is None:
        if options:
            raise ConfigError(f"{where}: the format {name} takes no options; remove {[*options]}")
        return kind.build(None)
    try:
        return kind.build(kind.options.model_validate(options or {}))
    except ValidationError as cause:
        first = cause.errors()[0]
        at = ".".join(str(part) for part in ("options", *first["loc"]))
        raise ConfigError(f"{where}: format {name}: {at}: {first['msg']}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
