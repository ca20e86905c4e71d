"""The page that a message's link leads to: what fires, and a button to acknowledge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitoring.alerts.read import AlertRow

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
)
#: The address holds a token: no cache keeps the page, no other site learns where it was, nobody
#: frames it, and it runs no script.
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}
_TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "title": "Acknowledge alert",
            "since": "since",
            "severity": "Severity",
            "state": "State",
            "pending": "pending",
            "firing": "firing",
            "resolved": "resolved",
            "assigned": "Assigned to",
            "by": "Your name",
            "note": "Note",
            "optional": "optional",
            "button": "Acknowledge",
            "done": "Acknowledged. Thank you.",
            "already": "Acknowledged by",
            "over": "The alert is over. You can still say that you have seen it.",
            "refused": "This link does not work",
        },
        "zh": {
            "title": "确认告警",
            "since": "开始于",
            "severity": "级别",
            "state": "状态",
            "pending": "待定",
            "firing": "告警中",
            "resolved": "已恢复",
            "assigned": "负责人",
            "by": "您的姓名",
            "note": "备注",
            "optional": "可不填",
            "button": "确认",
            "done": "已确认，谢谢。",
            "already": "已由以下人员确认：",
            "over": "告警已结束，仍可确认已知悉。",
            "refused": "此链接无效",
        },
    }
)


@dataclass(frozen=True)
class Page:
    """What the page shows: an alert, or why there is none.

    ``done``: it has just been acknowledged.
    """

    alert: AlertRow | None = None
    token: str = ""
    done: bool = False
    error: str = ""


def render(page: Page, accept_language: str, *, status: int = 200) -> HTMLResponse:
    """The page, in Chinese for whose browser asks for that first, else in English."""
    language = "zh" if accept_language.strip().lower().startswith("zh") else "en"
    text = _TEMPLATES.get_template("acknowledge.html").render(
        page=page, alert=page.alert, language=language, say=_TEXTS[language], time=_time
    )
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
