"""Matchers: Alertmanager's, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.alerts.matchers import Matcher, match_all, matchers_text

LABELS = {"service": "sim-a", "severity": "critical"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('severity="critical"', True),
        ('severity="crit"', False),
        ("severity=critical", True),
        (" severity = critical ", True),
        ('severity!="critical"', False),
        ('severity!="warning"', True),
        ('service=~"sim-.*"', True),
        # anchored at both ends
        ('service=~"sim"', False),
        ('service=~"im-a"', False),
        ('service=~"sim-a|b"', True),
        ('service!~"sim-.*"', False),
        ('service!~"other|sim"', True),
        # a label that isn't there is an empty one
        ('team=""', True),
        ('team!=""', False),
        ('team=~".*"', True),
        ('team=~".+"', False),
        ('team!~".+"', True),
        ('service=""', False),
    ],
)
def test_matching_is_alertmanagers(text, matches):
    assert Matcher.parse(text).matches(LABELS) is matches


def test_no_expression_runs_for_ever():
    matcher = Matcher.parse('service=~"(a+)+b"')
    assert not matcher.matches({"service": "a" * 50_000})
    assert Matcher.parse('service=~"(a|aa)+"').matches({"service": "a" * 50_000})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('service=~"(?=a)"', "no regular expression of RE2: .*invalid perl operator"),
        ("severity", "is not a matcher"),
        ("1a=b", "is not a matcher"),
        ('service=~"("', "no regular expression"),
        ('a="b", c="d"', "each matcher alone"),
        ("{a=b}", "is not a matcher"),
        ("a=b, c=d", "each matcher alone"),
        (5, "is not a matcher"),
    ],
)
def test_what_is_no_matcher_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        Matcher.parse(text)


@given(
    st.builds(
        Matcher,
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True),
        st.sampled_from(["=", "!="]),
        st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=8),
    )
)
def test_a_matcher_is_read_as_it_is_written(matcher):
    again = Matcher.parse(str(matcher))
    assert (again.name, again.op, again.value) == (matcher.name, matcher.op, matcher.value)


def test_all_of_several_must_match_and_none_matches_everything():
    some = [Matcher.parse('severity="critical"'), Matcher.parse('service="b"')]
    assert not match_all(some, LABELS)
    assert match_all(some[:1], LABELS)
    assert match_all([], LABELS)


def test_matchers_are_written_sorted_as_alertmanager_does():
    some = [Matcher.parse('severity="critical"'), Matcher.parse("service=~sim-.*")]
    assert matchers_text(some) == '{service=~"sim-.*",severity="critical"}'
    assert matchers_text([]) == "{}"
