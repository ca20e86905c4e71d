"""promtool's notation of series and values."""

from __future__ import annotations

import pytest
from monitoring.backtest.notation import SeriesName, expand


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3 1e3", (1, 2.5, -3, 1000)),
        ("0x5", (0, 0, 0, 0, 0, 0)),
        ("1+2x3", (1, 3, 5, 7)),
        ("9-2x3", (9, 7, 5, 3)),
        ("-1+1x1", (-1, 0)),
        ("_ 1 _x3 stale", (None, 1, None, None, None, None)),
        ("1x0", (1,)),
        ("1 _x0 2", (1, 2)),
        ("", ()),
    ],
)
def test_values_expand_as_promtools_do(text, values):
    assert expand(text) == values


@pytest.mark.parametrize("text", ["one", "1+2", "1x", "x3", "NaN", "Inf", "1x-3", "_x", "{{}}"])
def test_what_is_not_the_notation_is_refused(text):
    with pytest.raises(ValueError, match="is not a value"):
        expand(text)


def test_values_beyond_a_year_of_minutes_are_refused_before_they_take_memory():
    with pytest.raises(ValueError, match="more than 527040 values"):
        expand("1x999999999999")


def test_series_have_labels_with_escaped_quotes_and_commas():
    assert SeriesName.parse("a.b_c") == SeriesName("a.b_c", {})
    assert SeriesName.parse("a{}").labels == {}
    named = SeriesName.parse(r'a { x = "1,}" , y="q\"\\\n",}')
    assert named == SeriesName("a", {"x": "1,}", "y": 'q"\\\n'})


@pytest.mark.parametrize("text", ["", "1a", "a{x}", "a{x=1}", 'a{x="1"', 'a{x="1" y="2"}', "a b"])
def test_what_is_no_series_is_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        SeriesName.parse(text)


def test_a_label_given_twice_is_refused():
    with pytest.raises(ValueError, match="given twice"):
        SeriesName.parse('a{x="1", x="2"}')
