"""Annotations are templates over labels and value, and a bad one never stops an alert."""

from __future__ import annotations

import pytest
from monitoring.policy.annotations import check_template, render


def test_labels_and_value_are_filled_in():
    texts = {"summary": "{{ service }} {{ value | percent }} {{ value | number }} {{ labels.x }}"}
    assert render(texts, {"service": "sim", "x": "1"}, 0.1234) == {"summary": "sim 12.3% 0.1234 1"}


def test_an_absent_label_or_value_is_a_dash():
    assert render({"s": "{{ route }} {{ value | percent }}"}, {}, None) == {"s": "- -"}


def test_a_template_that_fails_says_so_in_its_own_text():
    (text,) = render({"s": "{{ 1 / 0 }}"}, {}, 1.0).values()
    assert text.startswith("{{ 1 / 0 }} (not rendered: ")


def test_templates_are_sandboxed():
    (text,) = render({"s": "{{ ''.__class__.__mro__ }}"}, {}, 1.0).values()
    assert "not rendered" in text


def test_a_text_that_is_no_template_is_refused():
    with pytest.raises(ValueError, match="annotation 's' is not a valid template"):
        check_template("s", "{{ service")
