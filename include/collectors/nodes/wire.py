"""What a node says of requests and containers, as JSON. The same pushed and pulled.

Each item is checked alone, so that one that is wrong costs none of the others.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar, Union

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler, WrapValidator

from userdb.latency import LATENCY_COLUMNS
from userdb.models.requests import OUTCOMES

T = TypeVar("T")

_STRICT = ConfigDict(extra="forbid", frozen=True)

#: What nodes tell of.
Kind = Literal["events", "requests", "containers"]
#: Kinds to the families of their series.
FAMILIES: dict[Kind, str] = {"events": "event", "requests": "request", "containers": "container"}
#: A node's name: it is part of labels, where ``/`` ends it.
NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Large = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(ge=0, lt=1e15, allow_inf_nan=False)]
Flag = Annotated[int, Field(ge=0, le=1)]
#: Of a container, in its runtime's words.
Word = Annotated[str, StringConstraints(min_length=1, max_length=32)]


def within(node: str, name: str | None) -> str:
    """What a node calls ``name``, as others call it: every node may have a log called gateway.

    It also tells what came from that node, see ``include.collectors.nodes.pages``.
    """
    return f"{node}/{name or 'unknown'}"[:255]


def _cut(length: int) -> AfterValidator:
    # as the collector of logs does: a long path is no reason to lose a request
    return AfterValidator(lambda text: text[:length])


def _utc(at: datetime) -> datetime:
    # what every database can hold, and no clock says by mistake
    if not 1970 <= at.year < 2200:
        raise ValueError("is out of range: before 1970 or after 2199")
    return at.astimezone(UTC)


def _whole_minute(at: datetime) -> datetime:
    if at.second or at.microsecond:
        raise ValueError("is not on a whole minute")
    return at


Time = Annotated[AwareDatetime, AfterValidator(_utc)]
Minute = Annotated[Time, AfterValidator(_whole_minute)]


class RequestRow(BaseModel):
    """One request."""

    model_config = _STRICT

    id: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Unique within the node: a row sent again has the same id and time",
        examples=["9f86d081884c7d65"],
    )
    occurred_at: Time = Field(description="When it ended", examples=["2026-03-01T11:59:58.120Z"])
    status: Annotated[int, Field(ge=0, le=999)] = Field(
        description="Of the answer; 0 where there was none", examples=[504]
    )
    service: Label | None = Field(default=None, examples=["sim"])
    route: Label | None = Field(default=None, examples=["/simulations/{id}"])
    instance: Label | None = Field(default=None, examples=["10.0.0.7:8000"])
    method: Annotated[str, _cut(32)] | None = Field(default=None, examples=["POST"])
    host: Annotated[str, _cut(255)] | None = Field(default=None, examples=["sim.example"])
    path: Annotated[str, _cut(2048)] | None = Field(default=None, examples=["/simulations/7"])
    duration_ms: Annotated[Finite, Field(lt=1e12)] | None = Field(default=None, examples=[60003.5])
    bytes_sent: Large | None = Field(default=None, examples=[167])
    client: Annotated[str, _cut(64)] | None = Field(default=None, examples=["192.0.2.7"])
    user: Annotated[str, _cut(255)] | None = None
    user_agent: Annotated[str, _cut(512)] | None = None
    request_id: Annotated[str, _cut(128)] | None = None


class CountsRow(BaseModel):
    """What a minute had of requests with the same labels."""

    model_config = _STRICT

    service: Label | None = Field(default=None, examples=["sim"])
    route: Label | None = Field(default=None, examples=["/simulations/{id}"])
    instance: Label | None = Field(default=None, examples=["10.0.0.7:8000"])
    source: Label | None = Field(
        default=None, description="Which of the node's logs", examples=["gateway"]
    )
    requests: Count = Field(description="The sum of the five outcomes", examples=[12])
    ok: Count = Field(default=0, examples=[10])
    client_error: Count = 0
    auth_failure: Count = 0
    timeout: Count = Field(default=0, examples=[2])
    server_error: Count = 0
    bytes_sent: Large = Field(default=0, examples=[4096])
    latency_count: Count = Field(
        default=0, description="Requests whose duration is known", examples=[12]
    )
    latency_sum_ms: Finite = Field(default=0.0, examples=[613.5])
    latency_max_ms: Finite | None = Field(default=None, examples=[240.0])
    latency_buckets: list[Count] = Field(
        default_factory=lambda: [0] * len(LATENCY_COLUMNS),
        min_length=len(LATENCY_COLUMNS),
        max_length=len(LATENCY_COLUMNS),
        description="Requests by duration, not cumulative: up to 5, 10, 25, 50, 100, 250, 500, "
        "1000, 2500, 5000, 10000, 30000, 60000 ms, and longer",
        examples=[[0, 0, 4, 6, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        outcomes = sum(getattr(self, name) for name in OUTCOMES)
        if outcomes != self.requests:
            raise ValueError(f"requests is {self.requests}, and the outcomes add up to {outcomes}")
        if sum(self.latency_buckets) != self.latency_count or self.latency_count > self.requests:
            raise ValueError(
                "latency_count must be the sum of latency_buckets and not more than requests"
            )
        return self

    @property
    def labels(self) -> dict[str, str]:
        """Those that are given."""
        names = ("service", "route", "instance", "source")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def counts(self) -> dict[str, Any]:
        """The columns of request_minute beside its key."""
        names = (
            "requests",
            *OUTCOMES,
            "bytes_sent",
            "latency_count",
            "latency_sum_ms",
            "latency_max_ms",
        )
        buckets = dict(zip(LATENCY_COLUMNS, self.latency_buckets, strict=True))
        return {name: getattr(self, name) for name in names} | buckets


class MinuteRow(CountsRow):
    """What a minute had of requests with the same labels, and which minute."""

    minute: Minute = Field(description="Its start", examples=["2026-03-01T11:59:00Z"])


class RequestMinute(BaseModel):
    """All that a minute had of requests, as it is now; no rows: none."""

    model_config = _STRICT

    minute: Minute = Field(examples=["2026-03-01T11:59:00Z"])
    rows: list[CountsRow]


class ContainerRow(BaseModel):
    """One container, looked at once."""

    model_config = _STRICT

    observed_at: Time = Field(examples=["2026-03-01T11:59:58Z"])
    minute: Minute | None = Field(
        default=None,
        description="Which it is filed in; by default that of observed_at",
        examples=["2026-03-01T11:59:00Z"],
    )
    container: Label = Field(description="Its name", examples=["sim-worker-3"])
    container_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        examples=["4f1c9a7b2d3e"]
    )
    service: Label | None = Field(default=None, examples=["sim"])
    image: Label | None = Field(default=None, examples=["sim:1.4"])
    host: Label | None = Field(
        default=None, description="The engine's; by default the node's name", examples=["worker-1"]
    )
    state: Word = Field(
        description="created, waiting, running, paused, restarting, exited, dead, absent, ...",
        examples=["running"],
    )
    reason: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="Why it waits or ended", examples=["OOMKilled"]
    )
    health: Word | None = Field(
        default=None,
        description="healthy, unhealthy or starting; absent without a health check",
        examples=["healthy"],
    )
    failing_streak: Count | None = None
    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    oom_killed: bool | None = Field(default=None, examples=[False])
    created_at: Time | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    restarts: Count = 0
    restarts_delta: Count | None = Field(
        default=None, description="Since the sample before; by default from restarts"
    )
    exits: Count | None = Field(
        default=None, description="Times that it ended unasked since the sample before"
    )
    oom_kills: Count | None = Field(
        default=None, description="Times that it ended for want of memory since then"
    )
    down: Flag | None = Field(
        default=None, description="1 if it should run and does not; by default: if it does not run"
    )
    undeclared: Flag | None = Field(
        default=None, description="Against the host's manifests, as are the next two"
    )
    wrong_image: Flag | None = None
    wrong_limit: Flag | None = None
    cpu_percent: Finite | None = Field(
        default=None,
        description="100 is one core; by default from the counters of two samples",
        examples=[37.5],
    )
    cpu_limit_cores: Finite | None = Field(default=None, examples=[1.5])
    cpu_limit_percent: Finite | None = Field(
        default=None, description="cpu_percent as a share of the limit"
    )
    memory_bytes: Large | None = Field(default=None, examples=[104857600])
    memory_limit_bytes: Large | None = None
    memory_percent: Finite | None = Field(default=None, examples=[40.0])
    pids: Count | None = None
    network_rx_bytes: Large | None = None
    network_tx_bytes: Large | None = None
    block_read_bytes: Large | None = None
    block_write_bytes: Large | None = None
    throttled_periods: Large | None = None
    throttled_ns: Large | None = None
    cpu_total_ns: Large | None = None
    cpu_system_ns: Large | None = None
    online_cpus: Count | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Those that are given."""
        names = ("container", "service", "image", "host")
        return {name: value for name in names if (value := getattr(self, name))}


class ContainerMinute(BaseModel):
    """All samples that are filed in a minute."""

    model_config = _STRICT

    minute: Minute = Field(examples=["2026-03-01T11:59:00Z"])
    rows: list[ContainerRow]


class EventRow(BaseModel):
    """One event: see ``userdb.events.EventRecord``."""

    model_config = _STRICT

    event_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    event_type: Literal["gateway", "container", "custom"]
    source: Label
    level: Literal["info", "warning", "error", "critical"]
    message: str
    detail: dict[str, Any] | None = None
    occurred_at: Time
    created_at: Time
    service: Label | None = None
    instance: Label | None = None
    container: Label | None = None
    exception_type: Label | None = None
    fingerprint: Annotated[str, StringConstraints(max_length=32)] | None = None


class Covered(BaseModel):
    """The minutes [start, end) of which a node has said all there is."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: Minute = Field(alias="from", examples=["2026-03-01T11:55:00Z"])
    end: Minute = Field(alias="to", examples=["2026-03-01T12:00:00Z"])

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.start >= self.end:
            raise ValueError("to must be after from")
        return self


class PulledPage(BaseModel, Generic[T]):
    """A page of what a node holds."""

    items: list[T]
    cursor: Annotated[str, StringConstraints(max_length=512)] = Field(
        description="Give it as since to read on; it says nothing to anybody else",
        examples=["WzEsImV2ZW50cyIsNDIsIjlmODZkMDgxODg0YyIsMF0"],
    )
    more: bool = Field(description="Whether there is more right now")
    covered: list[Covered] = Field(
        description="Of these minutes, once there is no more, everything has been read"
    )
    node_time: Time = Field(
        description="The node's clock when it began to answer", examples=["2026-03-01T12:00:03Z"]
    )


class Malformed(BaseModel):
    """An item that is not what it should be."""

    field: str
    message: str


def _or_malformed(value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        return Malformed(field=field, message=message)


if TYPE_CHECKING:
    Checked = Union[T, Malformed]  # noqa: UP007  # of a type variable
else:

    class Checked:
        """``Checked[Item]``: an item, or Malformed where it is none. Its schema is the item's."""

        def __class_getitem__(cls, item: type[BaseModel]) -> Any:
            return Annotated[item, WrapValidator(_or_malformed)]
