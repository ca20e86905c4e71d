"""Texts for people: subject and body of a message, plain, as Markdown and as HTML.

What comes from outside (labels, annotations, messages of exceptions) is text and nothing else: it
makes no second line of a subject, no markup and no link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitoring.notify.callbacks import Callback, callbacks
from monitoring.notify.channels import Message
from monitoring.notify.context import AlertContext, contexts_of
from monitoring.notify.definition import Receiver
from monitoring.notify.difference import FLAPPING
from monitoring.notify.evidence import (
    ContainerFound,
    EventsFound,
    Evidence,
    RequestFound,
    RouteFound,
)
from monitoring.notify.payload import RETRACTED, AlertPayload, parse_time
from monitoring.notify.phrases import PHRASES, Phrases
from monitoring.notify.text_forms import (
    Line,
    Section,
    as_html,
    as_markdown,
    as_plain,
    escape_markdown,
)

#: Alerts that a text tells one by one.
_MOST_ALERTS = 20
_LONGEST_SUBJECT = 160
_LONGEST_LINE = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True)
class Text:
    """One message. ``subject`` is one line; ``secrets`` are the tokens in the bodies."""

    subject: str
    plain: str
    markdown: str
    html: str
    secrets: tuple[str, ...] = ()

    def for_templates(self) -> dict[str, str]:
        """What templates see of it, by name."""
        return {
            "subject": self.subject,
            "text": self.plain,
            "markdown": self.markdown,
            "html": self.html,
        }


def render(receiver: Receiver, message: Message, *, links: bool = True) -> Text:
    """The text of ``message`` in the receiver's language.

    Args:
        links: whether the links to acknowledge, which act without a login, are in it.
    """
    words = PHRASES[receiver.language]
    contexts = contexts_of(message.context)
    granted = callbacks(receiver, message, contexts) if links else {}
    alerts: Sequence[AlertPayload] = message.payload["alerts"]
    sections = [
        _section(words, one, contexts.get(one["fingerprint"]), granted.get(one["fingerprint"]))
        for one in alerts[:_MOST_ALERTS]
    ]
    hidden = len(alerts) - len(sections) + int(message.payload.get("truncatedAlerts", 0))
    lead = words.held_back if message.kind == "digest" else ""
    more = words.more.format(number=hidden) if hidden else ""
    return Text(
        subject=_subject(words, message, alerts),
        plain="\n\n".join(_some([lead, *(as_plain(words, one) for one in sections), more])) + "\n",
        markdown="\n\n".join(
            _some(
                [
                    escape_markdown(lead),
                    *(as_markdown(words, one) for one in sections),
                    escape_markdown(more),
                ]
            )
        )
        + "\n",
        html="\n".join(
            _some(
                [
                    lead and f"<p>{html.escape(lead)}</p>",
                    *(as_html(words, one) for one in sections),
                    more and f"<p>{html.escape(more)}</p>",
                ]
            )
        ),
        secrets=tuple(one.token for one in granted.values()),
    )


def _some(parts: Sequence[str]) -> list[str]:
    return [one for one in parts if one]


def _subject(words: Phrases, message: Message, alerts: Sequence[AlertPayload]) -> str:
    counts = {
        words.firing: sum(one["status"] == "firing" for one in alerts),
        words.resolved: sum(one["status"] == "resolved" for one in alerts),
    }
    parts = [
        name if len(alerts) == 1 else f"{name} {number}"
        for name, number in counts.items()
        if number
    ]
    if message.kind == "digest":
        parts.insert(0, words.digest)
    head = f"[{words.comma.join(parts)}]"
    if len(alerts) == 1:
        said = _heading(words, alerts[0])
    else:
        labels: Mapping[str, str] = {
            **message.payload["groupLabels"],
            **message.payload["commonLabels"],
        }
        name = labels.get("alertname", "")
        said = " ".join(_some([name, _labels(words, labels)]))
    return _line(f"{head} {said}".strip(), _LONGEST_SUBJECT)


def _heading(words: Phrases, alert: AlertPayload) -> str:
    labels = alert["labels"]
    severity = labels.get("severity", "")
    name = labels.get("alertname", "")
    said = alert["annotations"].get("summary") or _labels(words, labels)
    parts = _some([words.severities.get(severity, severity), name])
    return words.colon.join(_some([" ".join(parts), said]))


def _labels(words: Phrases, labels: Mapping[str, str]) -> str:
    """Where it is: the labels that are places, in their order."""
    return words.comma.join(
        f"{said} {labels[name]}" for name, said in words.places.items() if labels.get(name)
    )


def _section(
    words: Phrases, alert: AlertPayload, context: AlertContext | None, callback: Callback | None
) -> Section:
    known = context or AlertContext()
    status = words.firing if alert["status"] == "firing" else words.resolved
    lines = [Line(name, _line(text)) for name, text in _facts(words, alert, known) if text]
    if RETRACTED in alert["annotations"]:
        lines.insert(0, Line("", words.retracted))
    elif FLAPPING in alert["annotations"]:
        lines.insert(0, Line("", words.flapping))
    links = (
        (words.page, alert["generatorURL"]),
        (words.runbook, alert["annotations"].get("runbook", "")),
        (words.acknowledge, callback.url if callback else ""),
    )
    lines += [Line(name, _line(url), url=_is_link(url)) for name, url in links if url]
    return Section(
        heading=_line(f"[{status}] {_heading(words, alert)}"),
        lines=tuple(lines),
        evidence=tuple(evidence_text(words, one) for one in known.evidence),
    )


def _facts(words: Phrases, alert: AlertPayload, known: AlertContext) -> Iterator[tuple[str, str]]:
    labels = alert["labels"]
    yield "", alert["annotations"].get("description", "")
    yield words.what, labels.get("alertname", "")
    yield words.where, _labels(words, labels)
    others = set(labels) - set(words.places) - {"alertname", "severity"}
    yield words.labels, words.comma.join(f"{name}={labels[name]}" for name in sorted(others))
    yield words.since, time_text(known.since or parse_time(alert["startsAt"]))
    if alert["status"] == "resolved":
        yield words.ended, time_text(parse_time(alert["endsAt"]))
    value = value_text(known.value, known.unit)
    if known.condition:
        yield words.value, words.condition.format(value=value, condition=known.condition)
    elif known.value is not None:
        yield words.value, value


def time_text(at: datetime) -> str:
    """``2026-01-31 10:00 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def second_text(at: datetime) -> str:
    """``2026-01-31 10:00:07 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def value_text(value: float | None, unit: str) -> str:
    """A value with its unit; shares as percent; a dash for None."""
    if value is None:
        return "-"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "percent":
        return f"{value:.4g}%"
    if unit == "bytes":
        for size in ("B", "KiB", "MiB", "GiB"):
            if abs(value) < 1024:
                return f"{value:.4g} {size}"
            value /= 1024
        return f"{value:.4g} TiB"
    text = f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
    return f"{text} ms" if unit == "ms" else text


def evidence_text(words: Phrases, found: Evidence) -> str:
    """What was found, as one line."""
    return _line(_evidence(words, found))


def _evidence(words: Phrases, found: Evidence) -> str:
    match found:
        case EventsFound():
            what = ": ".join(_some([found.exception_type or found.level, found.message]))
            return words.events.format(count=found.count, what=what)
        case RouteFound():
            where = " ".join(_some([found.service or "", found.route or "", found.instance or ""]))
            parts = [words.route.format(where=where or "-", requests=found.requests)]
            parts += [
                f"{number} {words.failures.get(name, name)}"
                for name, number in found.failed.items()
            ]
            if found.mean_ms is not None:
                parts.append(words.mean.format(ms=f"{found.mean_ms:.0f}"))
            if found.max_ms is not None:
                parts.append(words.slowest.format(ms=f"{found.max_ms:.0f}"))
            return words.comma.join(parts)
        case RequestFound():
            return words.request.format(
                at=second_text(found.at),
                asked=" ".join(_some([found.method or "", found.path or ""])) or "-",
                said=words.comma.join(_request(words, found)),
            )
        case ContainerFound():
            return words.comma.join(_container(words, found))


def _request(words: Phrases, found: RequestFound) -> Iterator[str]:
    outcome = words.outcomes.get(found.outcome, found.outcome)
    # most often it is the status alone that says so
    says_more = found.status is None or not found.reason.endswith(f"={found.status}")
    status = "" if found.status is None else str(found.status)
    yield " ".join(_some([status, outcome, f"({found.reason})" if says_more else ""]))
    if found.duration_ms is not None:
        yield words.duration.format(ms=f"{found.duration_ms:.0f}")
    if found.instance:
        yield f"{words.places['instance']} {found.instance}"
    if found.request_id:
        yield words.request_id.format(id=found.request_id)


def _container(words: Phrases, found: ContainerFound) -> Iterator[str]:
    state = words.states.get(found.state, found.state)
    state = f"{state} ({found.health})" if found.health else state
    yield words.container.format(container=found.container, state=state)
    # of one that runs, and never failed, the code is that of an end long ago
    if found.exit_code is not None and (found.state != "running" or found.exits):
        yield words.exit_code.format(code=found.exit_code)
    if found.oom_killed:
        yield words.oom_killed
    if found.reason and not (found.oom_killed and found.reason == "OOMKilled"):
        yield words.reason.format(reason=found.reason)
    if found.exits:
        yield words.exits.format(number=found.exits)
    if found.oom_kills:
        yield words.oom_kills.format(number=found.oom_kills)
    if found.finished_at is not None:
        yield words.finished.format(at=time_text(found.finished_at))
    if found.restarts:
        yield words.restarts.format(number=found.restarts)


def _is_link(url: str) -> bool:
    return re.fullmatch(r"https?://[^\s\"'<>()\[\]`]+", url) is not None


def _line(text: str, longest: int = _LONGEST_LINE) -> str:
    """One line of at most so many characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
