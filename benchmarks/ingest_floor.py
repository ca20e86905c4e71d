"""The floor of ``benchmarks.ingest``: a bare FastAPI handler that writes the same rows.

No key, no limits, no bounds, no word about which event was wrong: what is stored is the request.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import insert

from userdb.models import MonitorEvent
from userdb.store import open_store

app = FastAPI()
_store = open_store()


@app.post("/api/v1/events")
async def report(request: Request) -> dict[str, int]:
    """Insert the events of a JSON array."""
    return await run_in_threadpool(_insert, await request.body())


def _insert(body: bytes) -> dict[str, int]:
    now = datetime.now(UTC)
    rows = [
        {
            "event_type": "gateway",
            "source": "bench",
            "level": "error",
            "created_at": now,
            "event_id": uuid.uuid4().hex,
            **event,
            "occurred_at": datetime.fromisoformat(event["occurred_at"]),
        }
        for event in json.loads(body)
    ]
    _store.write(lambda connection: connection.execute(insert(MonitorEvent), rows))
    return {"stored": len(rows)}
