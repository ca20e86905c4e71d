"""Input that is nearly good: documents and lines with something wrong in them, by a seed.

Parsing is native code in places, of which a fuzzer sees no coverage. So what it changes has to be
likely by itself to reach far: values within a document, fields within a line.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from tests.fuzz.target import Target

#: Values that are hard for somebody: numbers, times, encodings, emptiness.
ODD_TEXTS = (
    *("", "-", "--5", "null", "true", "nan", "inf", "-infinity", "epoch", "-1", "-0", "0", "1e400"),
    *("1e99", "9" * 400, "-9223372036854775809", "9223372036854775807", "18446744073709551615"),
    *("2147483648", "1e18", "0x1F", "١٢٣", " 200 ", "1_000", "+5", "٣", "²"),
    *("294247-01-10T04:00:54.775807", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("2026-02-30T25:61:61Z", "2026-01-31T10:00:00", "2026-01-31T10:00:00+99:99", "2026-W05-6"),
    *("31/Dec/9999:23:59:59 +0000", "00/Foo/0000:99:99:99 +9999", "31/Jan/2026:10:00:00 +9999"),
    *("9999/99/99 99:99:99", "2026-01-31 10:00:00 Mars/Olympus", "10:00"),
    *(
        "[::1%eth0]:80",
        "::",
        "a,b,,c",
        "%zz%",
        "%00",
        "\u202e\ufeff",
        "\x00",
        "\\",
        "\\x",
        "'",
        '"',
    ),
    *("'", '"', "{}", "[]", "[", "}", "$", "\r", "\u2028", "\U0001f600" * 50, "x" * 3000),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[1]], {"a": {}}, [None], {"": ""}, 0, -1, 10**400, 2**31, 2**63),
    *(2**64 - 1, 1e300, -0.0, 0.1, float("inf"), float("nan"), "\ud800"),
)
_PARTS = re.compile(r'([ "\[\],:/{}=]+)')


def mutate(target: Target, data: bytes, seed: int, most: int) -> bytes:
    """``data``, or a seed of ``target``, with some changes; at most ``most`` bytes."""
    rng = random.Random(seed)
    if target.lines > 1:
        # many at once: what is done with a block costs more than each of its lines
        old = data.split(b"\n")
        made = [
            _changes(target, rng.choice(rng.choice((old, target.seeds))), rng)
            for _ in range(target.lines)
        ]
        return b"\n".join(made)[:most]
    if not data.strip() or rng.random() < 0.2:
        data = rng.choice(target.seeds)
    return _changes(target, data, rng)[:most]


def _changes(target: Target, data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = _change(target, data, rng)
    return data


def _change(target: Target, data: bytes, rng: random.Random) -> bytes:
    whole = _document(data)
    if whole is not None:
        return _dump(_changed_value(whole, target, rng), rng)
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    kind = rng.randrange(8)
    if kind == 0:
        lines.insert(at, rng.choice(rng.choice(target.seeds).split(b"\n")))
    elif kind == 1 and len(lines) > 1:
        del lines[at]
    elif kind == 2:
        lines[at] = _changed_bytes(lines[at], rng)
    else:
        lines[at] = _changed_line(lines[at], target, rng)
    return b"\n".join(lines[:200])


def _changed_line(line: bytes, target: Target, rng: random.Random) -> bytes:
    document = _document(line)
    if document is not None:
        return _dump(_changed_value(document, target, rng), rng)
    parts = _PARTS.split(line.decode("utf-8", "surrogateescape"))
    at = rng.randrange(len(parts))
    kind = rng.randrange(5)
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts.insert(at, parts[rng.randrange(len(parts))])
    elif kind == 2 and target.words:
        parts[at] = rng.choice(target.words)
    else:
        parts[at] = rng.choice(ODD_TEXTS)
    return "".join(parts).encode("utf-8", "surrogateescape")


def _changed_bytes(line: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(line) + 1)
    junk = rng.choice((b"", rng.randbytes(rng.randrange(1, 9)), b"\xff\xfe", b"\x00", b'"', b"\\"))
    return line[:at] + junk + line[at + rng.randrange(6) :]


def _document(data: bytes) -> Any:
    """The JSON object or array in ``data``; None where it is none."""
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _dump(document: Any, rng: random.Random) -> bytes:
    text = json.dumps(document, ensure_ascii=rng.random() < 0.7)
    return text.encode("utf-8", "replace").replace(b"\n", b" ")


def _changed_value(document: Any, target: Target, rng: random.Random) -> Any:
    """The document with one of its nodes changed, whichever: deep ones are as likely as others."""
    holders: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            holders.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    if isinstance(document, dict | list):
        walk(document)
    if not holders:
        return rng.choice(ODD_VALUES)
    node, key = rng.choice(holders)
    kind = rng.randrange(10)
    if kind == 0:
        del node[key]
    elif kind == 1:
        other, place = rng.choice(holders)
        node[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else None))
    elif kind == 2 and isinstance(node, dict):
        node[rng.choice(target.words or ("a",))] = node.pop(key)
    elif kind == 3 and target.words:
        node[key] = rng.choice(target.words)
    elif kind == 4 and isinstance(node[key], str):
        node[key] = _changed_line(node[key].encode(errors="replace"), target, rng).decode(
            "utf-8", "replace"
        )
    elif kind < 7:
        node[key] = rng.choice(ODD_VALUES)
    else:
        node[key] = rng.choice(ODD_TEXTS)
    return document
