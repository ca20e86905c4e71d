"""``${NAME}`` and ``${NAME:-default}`` in settings, as a shell reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def value_of(found: re.Match[str], environ: Mapping[str, str]) -> str | None:
    """What a match of ``VARIABLE`` stands for; None where it is not set and has no default.

    As in a shell, ``:-`` also stands in for a variable that is set and empty.
    """
    return environ.get(found["name"]) or found["default"]
