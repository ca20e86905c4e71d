"""The picture of late data in history.md, drawn from a real run.

    .venv/bin/python docs/late_data.py

A gateway's log is collected and evaluated, an operator acknowledges the alert, and then a second
gateway's log arrives, and the minutes that could not be collected. Writes images/late-data.svg.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from monitoring.alerts.acts import act, acts_of, is_acknowledged, successors
from monitoring.alerts.history import update_alerts
from monitoring.alerts.read import TransitionRow, alert_history
from monitoring.alerts.search import list_alerts
from monitoring.evaluation import score_policies
from monitoring.facts import UserdbFacts
from monitoring.policy.loader import load_policies
from monitoring.scoring.classes import EvaluationClass
from monitoring.scoring.registry import score
from monitoring.window import Window

from tests.monitoring.facts import T0, cover, put_requests
from userdb.migrate import upgrade
from userdb.store import Store, open_store
from userdb.times import from_minute, to_minute

IMAGE = Path(__file__).parent / "images" / "late-data.svg"

POLICY = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    window: 1m
    condition: "> 5"
    for: 2m
"""
BOUND = 5
MINUTES = 20
#: Timeouts a minute in the log that is there in time, and in the one that is late.
IN_TIME = (1, 0, 2, 8, 9, 2, 1, 0, 7, 9, 8, 7, 2, 1, 0, 0, 0, 0, 1, 0)
LATE = (0, 0, 0, 0, 0, 7, 9, 8, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0)
#: Minutes [first, stop) that could not be collected at first.
OUTAGE = (14, 17)
#: When what was there was evaluated, the alert acknowledged, and what came late evaluated.
FIRST_RUN, ACKNOWLEDGED, SECOND_RUN = 20, 22, 30


@dataclass(frozen=True)
class Span:
    """An episode's time in one state, pending or firing: evaluation times [first, stop)."""

    alert_id: str
    state: str
    first: int
    stop: int


@dataclass(frozen=True)
class Knowledge:
    """What was known at one time; minutes are counted from T0.

    ``values`` and ``classes`` are those of the evaluations at 1 … MINUTES.
    """

    known_at: int
    values: tuple[float, ...]
    classes: tuple[str, ...]
    history: tuple[Span, ...]
    acknowledged: str


def run(store: Store, folder: Path) -> tuple[Knowledge, Knowledge]:
    """What userdb says of the same minutes before and after the late data."""
    (folder / "policies.yaml").write_text(POLICY, encoding="utf-8")
    in_time, whole = from_minute(T0 + FIRST_RUN), from_minute(T0 + SECOND_RUN)

    put_requests(store, _rows(IN_TIME), file_id=1)
    cover(store, T0 - 60, T0 + OUTAGE[0])
    cover(store, T0 + OUTAGE[1], T0 + FIRST_RUN)
    _run_window(store, folder, 0, FIRST_RUN)
    values, classes = _scores(store, folder)
    with store.read() as connection:
        (alert,) = list_alerts(connection, state="resolved", fired=True)
    act(store, alert.id, "acknowledge", at=from_minute(T0 + ACKNOWLEDGED), author="operator")

    put_requests(store, _rows(LATE), file_id=2)
    cover(store, T0 + OUTAGE[0], T0 + OUTAGE[1])
    cover(store, T0 + FIRST_RUN, T0 + SECOND_RUN)
    # the next window: it takes in what became dirty
    _run_window(store, folder, FIRST_RUN, SECOND_RUN)

    with store.read() as connection:
        before = alert_history(connection, as_of=in_time)
        after = alert_history(connection, as_of=whole)
        (successor,) = successors(connection, alert.id)
        assert is_acknowledged(acts_of(connection, successor))
    return (
        Knowledge(FIRST_RUN, values, classes, tuple(_spans(before)), alert.id),
        Knowledge(SECOND_RUN, *_scores(store, folder), tuple(_spans(after)), successor),
    )


def _rows(timeouts: Sequence[int]) -> dict[int, dict[str, int]]:
    return {
        T0 + minute: {"requests": 20, "timeout": number, "ok": 20 - number}
        for minute, number in enumerate(timeouts)
        if number
    }


def _run_window(store: Store, folder: Path, first: int, stop: int) -> None:
    now = from_minute(T0 + stop)
    window = Window.of_minutes(T0 + first, T0 + stop)
    scored = score_policies(window, store, now=now, loaded=load_policies(folder))
    errors = {**scored.errors, **update_alerts(store, now=now).errors}
    assert not errors, errors


def _scores(store: Store, folder: Path) -> tuple[tuple[float, ...], tuple[str, ...]]:
    (policy,) = load_policies(folder).policies
    times = T0 + np.arange(1, MINUTES + 1, dtype=np.int64)
    with store.read() as connection:
        scores = score(policy, UserdbFacts(store, connection), times)
    classes = [EvaluationClass(code).name.lower() for code in scores.classes[:, 0].tolist()]
    return tuple(scores.values[:, 0].tolist()), tuple(
        "unknown" if unknown else one
        for one, unknown in zip(classes, scores.unknown.tolist(), strict=True)
    )


def _spans(history: Sequence[TransitionRow]) -> Iterator[Span]:
    since: dict[str, tuple[str, int]] = {}
    for one in history:
        at = to_minute(one.at) - T0
        if one.alert_id in since:
            state, first = since.pop(one.alert_id)
            yield Span(one.alert_id, state, first, at)
        if one.to_state in ("pending", "firing"):
            since[one.alert_id] = (one.to_state, at)
    assert not since, "an episode of the picture is not over"


# --- drawing --------------------------------------------------------------------------------------

LEFT, CELL, WIDTH = 186, 32, 860
BARS_TOP, BARS_BOTTOM, UNIT = 84, 224, 13
ROW = 30
INK, FAINT = "#1f2937", "#6b7280"
COLOURS = {
    "clear": "#d1e7dd",
    "breach": "#e8836b",
    "unknown": "#d1d5db",
    "pending": "#f2c14e",
    "firing": "#c8321f",
}
IN_TIME_COLOUR, LATE_COLOUR = "#3b6ea5", "#9cc3e6"


def draw(before: Knowledge, after: Knowledge) -> str:
    """The picture, as SVG."""
    parts = [
        _text(20, 30, "Late data rewrites history, and what was known stays known", 17, bold=True),
        _text(20, 52, "policy: requests.timeouts > 5 for 2m, window 1m", 13, FAINT),
        *_bars(before, after),
    ]
    top = BARS_BOTTOM + 56
    parts.append(_text(20, top - 8, "Classes of the evaluations", 13, bold=True))
    for row, known in enumerate((before, after)):
        parts += _classes(known, top + row * (ROW + 6))
    top += 2 * (ROW + 6) + 32
    parts.append(_text(20, top - 8, "Alert history", 13, bold=True))
    for row, known in enumerate((before, after)):
        parts += _history(known, top + row * (ROW + 18))
    parts += _legend(top + 2 * (ROW + 18) + 22)
    height = top + 2 * (ROW + 18) + 44
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif">',
            "<title>Late data rewrites history, and what was known stays known</title>",
            _box(0, 0, WIDTH, height, "#ffffff"),
            *parts,
            "</svg>",
            "",
        ]
    )


def _bars(before: Knowledge, after: Knowledge) -> Iterator[str]:
    right = LEFT + MINUTES * CELL
    yield _text(20, BARS_TOP + 60, "Timeouts a minute", 13, bold=True)
    for at, (first, then) in enumerate(zip(before.values, after.values, strict=True)):
        left = LEFT + at * CELL
        if before.classes[at] == "unknown":
            yield _box(left, BARS_TOP, CELL, BARS_BOTTOM - BARS_TOP, "#eef0f3")
        collected = 0.0 if before.classes[at] == "unknown" else first
        yield _bar(left, 0.0, collected, IN_TIME_COLOUR)
        yield _bar(left, collected, then, LATE_COLOUR)
        yield _text(left + CELL / 2, BARS_BOTTOM + 16, f":{at + 1:02}", 11, FAINT, "middle")
    yield _text(LEFT - 10, BARS_BOTTOM + 16, "evaluation at 10", 11, FAINT, "end")
    middle = LEFT + (OUTAGE[0] + OUTAGE[1]) / 2 * CELL
    yield _text(middle, BARS_TOP + 16, "not collected", 11, FAINT, "middle")
    yield _text(middle, BARS_TOP + 30, "at first", 11, FAINT, "middle")
    bound = BARS_BOTTOM - BOUND * UNIT
    yield (
        f'<path d="M{LEFT} {bound}H{right}" stroke="{COLOURS["firing"]}" stroke-width="1.5" '
        'stroke-dasharray="6 4"/>'
    )
    yield _text(LEFT - 10, bound + 4, f"> {BOUND}", 12, COLOURS["firing"], "end")
    yield f'<path d="M{LEFT} {BARS_BOTTOM}H{right}" stroke="{INK}"/>'


def _bar(left: float, low: float, high: float, colour: str) -> str:
    if high <= low:
        return ""
    return _box(left + 5, BARS_BOTTOM - high * UNIT, CELL - 10, (high - low) * UNIT, colour)


def _classes(known: Knowledge, top: float) -> Iterator[str]:
    yield _known_at(known, top)
    for at, one in enumerate(known.classes):
        left = LEFT + at * CELL
        yield _box(left + 1, top, CELL - 2, ROW, COLOURS[one])
        if one == "unknown":
            yield _text(left + CELL / 2, top + 20, "?", 14, INK, "middle")


def _history(known: Knowledge, top: float) -> Iterator[str]:
    yield _known_at(known, top)
    right = LEFT + MINUTES * CELL
    yield f'<path d="M{LEFT} {top + ROW}H{right}" stroke="{COLOURS["unknown"]}"/>'
    for one in known.history:
        # an evaluation rules until the next one
        left, width = LEFT + (one.first - 1) * CELL, (one.stop - one.first) * CELL
        yield _box(left, top, width, ROW, COLOURS[one.state])
        colour = "#ffffff" if one.state == "firing" else INK
        yield _text(left + width / 2, top + 20, one.state, 12, colour, "middle")
    for alert_id in dict.fromkeys(one.alert_id for one in known.history):
        own = [one for one in known.history if one.alert_id == alert_id]
        left, stop = LEFT + (own[0].first - 1) * CELL, LEFT + (own[-1].stop - 1) * CELL
        yield _text(left, top + ROW + 13, f"alert {alert_id[:6]}…", 11, FAINT)
        if alert_id == known.acknowledged:
            told = f"acknowledged at 10:{ACKNOWLEDGED}"
            if known.known_at > ACKNOWLEDGED:
                told = "so it is acknowledged too"
            yield _text(stop + 8, top + 20, told, 12)


def _legend(baseline: float) -> Iterator[str]:
    left: float = LEFT
    named = {
        "collected in time": IN_TIME_COLOUR,
        "came late": LATE_COLOUR,
        **{name: COLOURS[name] for name in ("clear", "breach", "unknown", "pending", "firing")},
    }
    for name, colour in named.items():
        yield _box(left, baseline - 10, 12, 12, colour)
        yield _text(left + 17, baseline, name, 12)
        left += 36 + 6.4 * len(name)


def _known_at(known: Knowledge, top: float) -> str:
    return _text(LEFT - 10, top + 20, f"as known at 10:{known.known_at}", 12, INK, "end")


def _box(left: float, top: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'


def _text(
    left: float,
    baseline: float,
    text: str,
    size: int,
    colour: str = INK,
    anchor: str = "start",
    *,
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{left:g}" y="{baseline:g}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(f"sqlite:///{folder / 'userdb.sqlite'}")
        upgrade(store)
        IMAGE.write_text(draw(*run(store, folder)), encoding="utf-8")
        store.close()


if __name__ == "__main__":
    main()
