"""What a task makes of a report: counts for XCom, and a failure where something in it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from monitoring.run_failures import WINDOW
from monitoring.window import Window
from userdb.errors import CollectionError
from userdb.ledger import CollectionReport


def bounds_of(window: Window) -> list[str]:
    """[start, end], as XCom can hold them."""
    return [window.start.isoformat(), window.end.isoformat()]


def collection_counts(report: CollectionReport) -> dict[str, Any]:
    """What a collector's task returns."""
    return {
        WINDOW: [report.start.isoformat(), report.end.isoformat()],
        "rows": report.rows,
        "rejected": report.rejected,
        "late": report.late,
        "sources": {source.source: source.status for source in report.sources},
        "duration_s": round(report.duration_s, 3),
    }


def raise_for_policies(errors: Mapping[str, str]) -> None:
    """Fail where policies are wrong.

    Raises:
        AirflowFailException: not tried again: a definition doesn't get better by that, and the
            others' alerts would wait.
    """
    if errors:
        listed = "; ".join(f"{policy}: {why}" for policy, why in errors.items())
        raise AirflowFailException(f"{len(errors)} policies are wrong: {listed}")


def raise_for_failed_sources(report: CollectionReport) -> None:
    """Fail where a source failed.

    Unavailable is no failure: a runtime can't tell about the past, and trying again can't help.

    Raises:
        CollectionError: names the sources, and why.
    """
    failed = [source for source in report.sources if source.status == "failed"]
    if failed:
        listed = "; ".join(f"{source.source}: {source.message}" for source in failed)
        raise CollectionError(
            f"{len(failed)} of {len(report.sources)} sources of {report.collector} failed: {listed}"
        )
