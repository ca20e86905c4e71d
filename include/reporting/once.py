"""Reporting an exception once, however many layers it passes."""

from __future__ import annotations

from typing import Any

from include.reporting.report import report_event

#: Set on an exception that was reported, so that outer layers don't report it again.
_REPORTED = "__monitoring_event_id__"


def report_once(
    error: BaseException,
    source: str,
    message: str | None = None,
    detail: dict[str, Any] | None = None,
    level: str = "error",
    **given: Any,
) -> None:
    """Report ``error``, unless that was done already. Never raises.

    ``message`` is the exception's type and text where not given; for the rest see
    ``report_event``.
    """
    if is_reported(error):
        return
    if message is None:
        message = summary(error)
    mark = report_event("gateway", source, message, detail, level, exception=error, **given)
    try:
        setattr(error, _REPORTED, mark)
    except Exception:
        # an exception without __dict__: it may be reported again
        return


def is_reported(error: BaseException) -> bool:
    return getattr(error, _REPORTED, None) is not None


def summary(error: BaseException) -> str:
    """Type and text in one line."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
