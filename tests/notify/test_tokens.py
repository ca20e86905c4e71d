"""Tokens let one receiver act about one alert, for a week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from monitoring.notify.tokens import GOOD_FOR, Grant, make_token, previous_secrets, read_token

from userdb.errors import AlertError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GRANT = Grant("e1", "oncall")


def test_a_token_says_whose_episode_and_receiver_it_is() -> None:
    token = make_token("key", GRANT, now=NOW)
    assert read_token("key", token, now=NOW + GOOD_FOR) == GRANT


def test_a_token_of_another_key_or_with_a_changed_letter_is_refused() -> None:
    token = make_token("key", GRANT, now=NOW)
    for bad in (make_token("other", GRANT, now=NOW), "x" + token, token[:-1], "", "a.b"):
        with pytest.raises(AlertError, match="not genuine"):
            read_token("key", bad, now=NOW)


def test_a_token_of_a_previous_key_is_good_as_long_as_that_is_named() -> None:
    sent = make_token("old", GRANT, now=NOW)
    older = make_token("older", GRANT, now=NOW)
    previous = previous_secrets({"MONITORING_CALLBACK_SECRET_PREVIOUS": " older, old ,"})
    for token in (sent, older, make_token("key", GRANT, now=NOW)):
        assert read_token("key", token, now=NOW, previous=previous) == GRANT
    with pytest.raises(AlertError, match="not genuine"):
        read_token("key", sent, now=NOW)
    with pytest.raises(AlertError, match="not genuine"):
        read_token("key", make_token("", GRANT, now=NOW), now=NOW, previous=previous)
    with pytest.raises(AlertError, match="too old"):
        read_token("key", sent, now=NOW + GOOD_FOR + timedelta(seconds=2), previous=previous)


def test_a_token_is_refused_when_its_week_is_over() -> None:
    token = make_token("key", GRANT, now=NOW)
    with pytest.raises(AlertError, match="too old"):
        read_token("key", token, now=NOW + GOOD_FOR + timedelta(seconds=2))
