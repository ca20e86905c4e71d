"""Which failed tries Airflow may try again."""

from __future__ import annotations

import pytest

from tests.dags.conftest import DagProcess

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize(
    ("error", "took_s", "retried_within_s", "raised"),
    [
        # quick, and may get better
        ("CollectionError", 0.0, 30.0, "CollectionError"),
        ("CollectionError", 0.0, None, "CollectionError"),
        # a slow try: the retries would not begin within two minutes
        ("CollectionError", 0.05, 0.01, "AirflowFailException"),
        # what is wrong stays wrong
        ("ConfigError", 0.0, None, "AirflowFailException"),
        ("ConfigError ConfigError", 0.0, None, "AirflowFailException"),
        # one of them may get better
        ("ConfigError CollectionError", 0.0, None, "CollectionError"),
    ],
)
def test_tries_that_are_the_last(
    dags: DagProcess, error: str, took_s: float, retried_within_s: float | None, raised: str
) -> None:
    outcome = dags.fail_a_try(error=error, took_s=took_s, retried_within_s=retried_within_s)
    assert outcome["raised"] == raised
    assert outcome["text"].startswith("the log is gone")
    assert outcome["left"] == {"failure": "the log is gone"}
