"""How an engine or cluster is sure of us and we of it: certificates and tokens."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from userdb.airflow_connection import connection_fields
from userdb.errors import ConfigError

_PEM = "-----BEGIN"


class TlsSettings(BaseModel):
    """Certificates, each as a file's path or as the PEM text itself.

    Attributes:
        ca: of who signed the engine's certificate; by default the machine's own authorities.
        cert, key: ours, where the engine asks for one. They go together.
        connection: id of an Airflow connection; its extra's ``ca_cert``, ``client_cert`` and
            ``client_key`` stand for what is not given here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: SecretStr | None = None
    cert: SecretStr | None = None
    key: SecretStr | None = None
    connection: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together; give both or none")
        return self


@dataclass(frozen=True)
class Certificates:
    """Paths or PEM texts; what is None isn't used."""

    ca: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CertificateFiles:
    """The same as files."""

    ca: str | None
    cert: str | None
    key: str | None

    @property
    def client(self) -> tuple[str, str] | None:
        return (self.cert, self.key) if self.cert and self.key else None


def certificates(settings: TlsSettings, host: str) -> Certificates:
    """What ``settings`` and their Airflow connection give.

    Raises:
        ConfigError: there is no such connection, or a file isn't there.
    """
    given = {"ca": settings.ca, "cert": settings.cert, "key": settings.key}
    found = {name: None if one is None else one.get_secret_value() for name, one in given.items()}
    if settings.connection:
        extra = connection_extra(settings.connection, f"container_stats.hosts: {host}: tls")
        for name, key in (("ca", "ca_cert"), ("cert", "client_cert"), ("key", "client_key")):
            found[name] = found[name] or (str(extra[key]) if extra.get(key) else None)
    for name, text in found.items():
        if text is not None and not text.lstrip().startswith(_PEM) and not Path(text).is_file():
            # a text that is no path may be a secret
            what = f"there is no file {text}" if "\n" not in text else "it is no PEM"
            raise ConfigError(
                f"container_stats.hosts: {host}: tls.{name}: {what}; give a file's path, or the "
                f"PEM text, which begins with {_PEM}"
            )
    return Certificates(**found)


def connection_extra(conn_id: str, where: str) -> dict[str, Any]:
    """The extra of an Airflow connection, with its password and host as ``password``, ``host``.

    Raises:
        ConfigError: there is none of that name, or its extra is no JSON object.
    """
    fields = connection_fields(conn_id)
    if fields is None:
        raise ConfigError(
            f"{where}: Airflow has no connection {conn_id!r}; add it under Admin → Connections, or "
            "give the values in sources.yaml as ${NAME} from the environment"
        )
    try:
        extra = json.loads(fields["extra"] or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigError(f"{where}: the extra of connection {conn_id!r} is not a JSON object")
    return {**extra, "password": fields["password"], "host": fields["host"]}


@contextmanager
def as_files(given: Certificates) -> Iterator[CertificateFiles]:
    """Certificates as files, as Python's ssl wants them: PEM texts are in a private folder."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:

        def path(name: str, text: str | None) -> str | None:
            if text is None or not text.lstrip().startswith(_PEM):
                return text
            file = Path(folder) / name
            file.touch(mode=0o600)
            # a private key of one line, as environments hold it
            file.write_text(text.replace("\\n", "\n") + "\n")
            return str(file)

        yield CertificateFiles(
            path("ca.pem", given.ca), path("cert.pem", given.cert), path("key.pem", given.key)
        )
