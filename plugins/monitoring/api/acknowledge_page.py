"""The page that a message's link leads to: what fires, and a button to acknowledge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi.responses import HTMLResponse

from monitoring.alerts.read import AlertRow
from monitoring.api.html_page import render_page
from monitoring.notify.evidence import Evidence


@dataclass(frozen=True)
class Page:
    """What the page shows: an alert with its evidence, or why there is none.

    ``done``: it has just been acknowledged.
    """

    alert: AlertRow | None = None
    evidence: Sequence[Evidence] = ()
    token: str = ""
    done: bool = False
    error: str = ""


def render(page: Page, accept_language: str, *, status: int = 200) -> HTMLResponse:
    """The page, in Chinese for whose browser asks for that first, else in English."""
    return render_page(
        "acknowledge.html", accept_language, status=status, page=page, alert=page.alert
    )
