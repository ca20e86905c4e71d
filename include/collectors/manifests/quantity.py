"""Kubernetes' quantities: ``500m`` of CPU, ``64Mi`` of memory. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))"
    r"(?:[eE](?P<exponent>[+-]?\d{1,2})|(?P<suffix>[a-zA-Z]{0,2}))"
)


def parse_quantity(value: object) -> float:
    """The number that a quantity means: cores, or bytes.

    Raises:
        ValueError: it is no quantity, or a negative one.
    """
    found = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value).strip())
    if found is None or (found["suffix"] or "") not in _SUFFIXES:
        raise ValueError(f"{value!r} is no quantity; write it as 500m, 2, 64Mi or 1G")
    number = Decimal(found["number"]) * _SUFFIXES[found["suffix"] or ""]
    if found["exponent"]:
        number = number.scaleb(int(found["exponent"]))
    if number < 0:
        raise ValueError(f"{value!r} is negative")
    return float(number)
