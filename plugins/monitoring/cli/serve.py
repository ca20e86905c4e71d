"""``monitoring serve``: the HTTP API without Airflow."""

from __future__ import annotations

from typing import Annotated

import typer

from monitoring.cli.options import note, opened_store


def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8790,
    workers: Annotated[
        int, typer.Option(min=1, help="processes; each counts rate limits by itself")
    ] = 1,
) -> None:
    """Serve the HTTP API for machines with API keys, whether Airflow is up or not."""
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from monitoring.intake.airflow_runs import RestRuns
    from monitoring.intake.urgent import describe
    from monitoring.log_format import JSON_LINES, writes_json

    # says what is wrong now, and not at the first request
    with opened_store():
        pass
    note(describe(RestRuns.from_environment()))
    uvicorn.run(
        "monitoring.api.app:standalone",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        server_header=False,
        # it would hold the keys that Sentry's browser SDK sends in the address
        access_log=False,
        # its processes configure themselves
        log_config=dict(JSON_LINES) if writes_json() else LOGGING_CONFIG,
    )
