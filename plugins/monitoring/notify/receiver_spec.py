"""A receiver as ``routing.yaml`` writes it: everything but its address and its secrets.

Those come from an Airflow connection or from environment variables, which are only named here.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitoring.duration import Duration
from monitoring.notify.definition import Language
from monitoring.yaml_source import Locate, invalid


class RateLimit(BaseModel):
    """At most ``messages`` within ``per``; what is held back comes as a digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: int = Field(ge=1)
    per: Duration = timedelta(hours=1)


class ReceiverSpec(BaseModel):
    """One entry of ``receivers:``.

    Attributes:
        name: unique; routes name it, and what it was told is kept under it.
        kind: of channel: webhook, alertmanager, apprise, airflow or log.
        connection: id of the Airflow connection that holds address and secrets.
        url_env: instead of it, the environment variable that holds the URL.
        secret_env: the environment variable that holds the signature's key.
        previous_secret_env: the one that holds the key before it, while the receiver changes over.
        options: what only this kind of channel has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=128)
    kind: str = "webhook"
    connection: str | None = None
    url_env: str | None = None
    secret_env: str | None = None
    previous_secret_env: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    language: Language = "en"
    send_resolved: bool = True
    timeout: Duration = timedelta(seconds=10)
    max_alerts: int = Field(0, ge=0)
    give_up_after: Duration = timedelta(hours=24)
    rate_limit: RateLimit | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.connection and self.url_env:
            raise ValueError("connection and url_env both give an address; keep one of them")
        return self


def read_specs(
    path: Path, entries: Any, locate: Locate
) -> tuple[tuple[ReceiverSpec, ...], dict[str, str]]:
    """The valid ones of ``receivers:``, and why others are not: by name or place in the file."""
    if entries is None:
        return (), {}
    if not isinstance(entries, list):
        line = locate(("receivers",))
        return (), {str(path): f"{path}:{line}: receivers: must be a list; see docs/receivers.md"}
    specs: list[ReceiverSpec] = []
    errors: dict[str, str] = {}
    for number, entry in enumerate(entries):
        place = ("receivers", number)
        name = entry.get("name") if isinstance(entry, dict) else None
        origin = name if isinstance(name, str) else f"{path}:{locate(place)}"
        try:
            spec = ReceiverSpec.model_validate(entry)
        except ValidationError as error:
            errors[origin] = str(invalid(path, locate, error, within=place))
            continue
        if spec.name in (one.name for one in specs):
            errors[origin] = (
                f"{path}:{locate((*place, 'name'))}: receivers[{number}].name: two receivers are "
                f"named {name!r}; rename one"
            )
            continue
        specs.append(spec)
    return tuple(specs), errors
