"""What is kept of an exception: type, message, stack, and a fingerprint that groups its like."""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass
from types import TracebackType

#: Longest stack and message kept, in characters; a longer stack loses its middle.
MAX_STACK = 32_768
MAX_TEXT = 4_096


@dataclass(frozen=True)
class DescribedException:
    """``type`` is the qualified name, without ``builtins.``; ``stack`` as Python prints it."""

    type: str
    message: str
    stack: str
    fingerprint: str

    def as_detail(self) -> dict[str, str]:
        return {"type": self.type, "message": self.message, "stack": self.stack}


def describe_exception(error: BaseException) -> DescribedException:
    """Describe ``error``; one that can't even be printed is described without its text."""
    name = type_name(error)
    try:
        message = str(error)
    except Exception:
        message = "<its text can't be had>"
    try:
        stack = "".join(traceback.format_exception(error))
    except Exception:
        stack = "".join(traceback.format_tb(error.__traceback__)) + name
    if len(stack) > MAX_STACK:
        half = MAX_STACK // 2
        stack = f"{stack[:half]}\n  … {len(stack) - 2 * half} characters …\n{stack[-half:]}"
    return DescribedException(
        type=name,
        message=message[:MAX_TEXT],
        stack=stack,
        fingerprint=fingerprint(name, frames(error.__traceback__)),
    )


def type_name(error: BaseException) -> str:
    """``ValueError``, ``requests.exceptions.ReadTimeout``."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def frames(trace: TracebackType | None) -> list[str]:
    """The stack's functions as ``module:qualified name``, outermost first.

    No line numbers and no paths: they change with each release and each host. Consecutive equal
    frames count once, so the depth of a recursion makes no difference.
    """
    result: list[str] = []
    while trace is not None:
        frame = trace.tb_frame
        place = f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
        if not result or result[-1] != place:
            result.append(place)
        trace = trace.tb_next
    return result


def fingerprint(*parts: str | list[str]) -> str:
    """32 hex digits that are equal for equal parts."""
    text = "\0".join(part if isinstance(part, str) else "\n".join(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
