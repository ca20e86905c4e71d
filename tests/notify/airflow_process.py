"""A process that has Airflow imported and sends messages through the channel ``airflow``.

Airflow reads its environment when it is imported, and a process that has imported it resolves
connections through it from then on: so it isn't imported into pytest's own. Commands and answers
are lines of JSON; the process' stdout and stderr are its log.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import Any

from monitoring.notify import load_receivers
from monitoring.notify.channels import Message, open_channel
from monitoring.notify.receiver_spec import ReceiverSpec

from userdb.errors import DeliveryError


def answer(command: dict[str, Any]) -> dict[str, Any]:
    """What loading the receiver and sending the message gave."""
    os.environ.update(command["env"])
    spec = ReceiverSpec.model_validate(command["spec"])
    loaded = load_receivers(None, None, [spec])
    if loaded.errors:
        return {"unusable": loaded.errors[spec.name]}
    (receiver,) = loaded.usable
    given = command["message"]
    for name in ("sent_at", "decided_at"):
        given[name] = datetime.fromisoformat(given[name])
    channel = open_channel(receiver)
    try:
        return {"taken": channel.send(Message(**given)).text}
    except DeliveryError as error:
        return {"refused": str(error), **vars(error)}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
