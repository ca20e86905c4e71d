"""The forms of a text: what is said of one alert, plain, as Markdown and as HTML.

What comes from outside is text and nothing else: it makes no markup and no link.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from monitoring.notify.phrases import Phrases

#: What Markdown's dialects give a meaning to.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~&])")


@dataclass(frozen=True)
class Line:
    """``name`` and text; with ``url``, the text is a link's; without a name, a remark."""

    name: str
    text: str
    url: bool = False


@dataclass(frozen=True)
class Section:
    """What is said of one alert."""

    heading: str
    lines: tuple[Line, ...]
    evidence: tuple[str, ...]


def as_plain(words: Phrases, section: Section) -> str:
    lines = [section.heading]
    for one in section.lines:
        lines.append(f"  {one.name}{words.colon if one.name else ''}{one.text}")
    if section.evidence:
        lines.append(f"  {words.evidence}{words.colon.rstrip()}")
        lines += [f"    - {one}" for one in section.evidence]
    return "\n".join(lines)


def as_markdown(words: Phrases, section: Section) -> str:
    lines = [f"**{escape_markdown(section.heading)}**", ""]
    for one in section.lines:
        text = f"<{one.text}>" if one.url else escape_markdown(one.text)
        lines.append(f"- {escape_markdown(one.name)}{words.colon if one.name else ''}{text}")
    if section.evidence:
        lines.append(f"- {words.evidence}{words.colon.rstrip()}")
        lines += [f"    - {escape_markdown(one)}" for one in section.evidence]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def as_html(words: Phrases, section: Section) -> str:
    rows = []
    for one in section.lines:
        text = html.escape(one.text)
        if one.url:
            text = f'<a href="{text}">{text}</a>'
        name = f"<b>{html.escape(one.name)}</b>{words.colon}" if one.name else ""
        rows.append(f"<li>{name}{text}</li>")
    if section.evidence:
        found = "".join(f"<li>{html.escape(one)}</li>" for one in section.evidence)
        rows.append(f"<li><b>{words.evidence}</b>{words.colon.rstrip()}<ul>{found}</ul></li>")
    return f"<p><b>{html.escape(section.heading)}</b></p>\n<ul>{''.join(rows)}</ul>"
