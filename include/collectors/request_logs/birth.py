"""When a file was created: Linux tells it by statx(2), which Python 3.11 has no name for."""

from __future__ import annotations

import ctypes
import os
import struct

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
#: offset of stx_btime in struct statx: seconds (int64), nanoseconds (uint32)
_BTIME_AT = 80


def born_at(descriptor: int) -> float | None:
    """Seconds since 1970 at which an open file was created; None where nobody knows."""
    known = getattr(os.fstat(descriptor), "st_birthtime", None)
    if known is not None:
        return float(known)
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (AttributeError, OSError):
        return None
    found = ctypes.create_string_buffer(256)
    if statx(descriptor, b"", _AT_EMPTY_PATH, ctypes.c_uint(_STATX_BTIME), found) != 0:
        return None
    (mask,) = struct.unpack_from("=I", found.raw)
    if not mask & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", found.raw, _BTIME_AT)
    return float(seconds + nanoseconds / 1e9)
