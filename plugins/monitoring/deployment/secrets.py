"""Secrets are files; settings name them. Pure but for reading the files.

A setting may hold ``<secret:NAME>``: it stands for the content of the file ``NAME`` in the folder
of secrets (``/run/secrets``, where Compose and Kubernetes mount them, or ``MONITORING_SECRETS``).
So what `docker inspect` prints of a container's environment holds no password, and what is run by
`docker exec` gets the same settings as the container's own command.

``<secret?:NAME>`` stands for nothing where the file is missing or empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from userdb.errors import ConfigError

__all__ = ["folder_of_secrets", "resolve"]

_REFERENCE = re.compile(r"<secret(\??):([a-z0-9_]+)>")
#: Bounds for what is made up by a person; `deploy/make-secrets` makes 64 hexadecimal digits.
_SHORTEST, _FEWEST_DIFFERENT = 16, 6


def folder_of_secrets(environ: Mapping[str, str]) -> Path:
    """The folder whose files are the secrets."""
    return Path(environ.get("MONITORING_SECRETS") or "/run/secrets")


def resolve(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that name secrets, with the secrets in their place; no others.

    A secret that is a part of a setting is percent-encoded, as such settings are URLs. One that is
    all of it stays as it is.

    Raises:
        ConfigError: a secret is missing, empty or too simple. Names all that are, and holds none.
    """
    folder = folder_of_secrets(environ)
    faults: dict[str, str] = {}
    found: dict[str, str] = {}
    for setting, text in sorted(environ.items()):
        if "<secret" not in text:
            continue
        whole = _REFERENCE.fullmatch(text) is not None
        found[setting] = _REFERENCE.sub(_reader(folder, faults, whole=whole), text)
    if faults:
        named = "; ".join(f"{name} {fault}" for name, fault in sorted(faults.items()))
        raise ConfigError(
            f"refusing to start: secrets in {folder} can't be used: {named}. There are no default "
            "passwords. `deploy/make-secrets` makes those that are missing or empty."
        )
    return found


def _reader(folder: Path, faults: dict[str, str], *, whole: bool) -> Callable[[re.Match[str]], str]:
    def read(match: re.Match[str]) -> str:
        optional, name = bool(match[1]), match[2]
        try:
            text = (folder / name).read_text(encoding="utf-8").strip()
        except (FileNotFoundError, IsADirectoryError):
            # Compose makes a folder of a file that isn't there
            if not optional:
                faults[name] = "is missing"
            return ""
        except OSError as error:
            faults[name] = f"can't be read by user {os.getuid()}: {error.strerror}"
            return ""
        except UnicodeDecodeError:
            faults[name] = "is not UTF-8 text"
            return ""
        if not optional and (fault := _fault(text)):
            faults[name] = fault
        return text if whole else quote(text, safe="")

    return read


def _fault(text: str) -> str:
    """What is wrong with a secret, in words that don't tell it; empty if nothing is."""
    if not text:
        return "is empty"
    if len(text) < _SHORTEST:
        return f"is shorter than {_SHORTEST} characters"
    if len(set(text)) < _FEWEST_DIFFERENT:
        return "is too simple"
    return ""
