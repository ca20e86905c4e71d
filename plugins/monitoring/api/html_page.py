"""Pages for people, in Chinese for whose browser asks for that first, else in English."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitoring.api.language import preferred
from monitoring.notify.phrases import PHRASES
from monitoring.notify.texts import evidence_text, second_text, time_text

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
)
#: An address may hold a token: no cache keeps a page, no other site learns where it was, nobody
#: frames it, and it runs no script.
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}
#: What pages say beside a message's words (``Phrases``).
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
            "requests": "Some of the requests",
            "time": "Time",
            "request": "Request",
            "status": "Status",
            "outcome": "Outcome",
            "duration": "Duration",
            "instance": "Instance",
            "request_id": "Request id",
            "history": "History",
            "moved": "Late data has made of this alert:",
            "never": "Late data has shown that this alert never was.",
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
            "requests": "部分请求",
            "time": "时间",
            "request": "请求",
            "status": "状态码",
            "outcome": "结果",
            "duration": "耗时",
            "instance": "实例",
            "request_id": "请求 ID",
            "history": "历史",
            "moved": "根据迟到的数据，该告警已变为：",
            "never": "迟到的数据表明该告警并不成立。",
        },
    }
)


def render_page(
    template: str, accept_language: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """The page that ``template`` makes of ``values``."""
    language = preferred(accept_language, default="en")
    words = PHRASES[language]
    text = _TEMPLATES.get_template(template).render(
        language=language,
        say=_TEXTS[language],
        words=words,
        told=lambda found: evidence_text(words, found),
        time=time_text,
        second=second_text,
        **values,
    )
    return HTMLResponse(text, status_code=status, headers=_HEADERS)
