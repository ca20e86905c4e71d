"""OTLP's logs (``ExportLogsServiceRequest``, protobuf or JSON) into events.

Names of attributes are OpenTelemetry's semantic conventions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from pydantic import ValidationError

from monitoring.intake.identity import ContentIds
from monitoring.intake.sent import SentEvent, Unreadable, known_level
from monitoring.intake.stack import stack_fingerprint
from userdb.errors import InvalidRequestError
from userdb.models.events import EVENT_TYPES, LEVELS

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
#: Most records that are read of a request: an empty one takes two bytes.
MAX_RECORDS = 10_000
#: Source of records whose logger has no name.
SOURCE = "otlp"
#: An attribute of ours, of a record or a resource, that says what kind of event it is.
EVENT_TYPE = "monitoring.event_type"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Of each label the attributes that give it, the best first.
_INSTANCE = ("service.instance.id", "k8s.pod.name", "host.name")
_CONTAINER = ("container.name", "k8s.container.name", "container.id")
#: Ids are hex in OTLP's JSON, where protobuf's own has base64.
_HEX_FIELDS = ("traceId", "spanId", "trace_id", "span_id")


def read_request(body: bytes, media_type: str) -> ExportLogsServiceRequest:
    """The request in a body of ``PROTOBUF`` or ``JSON``.

    Raises:
        InvalidRequestError: it isn't one.
    """
    if media_type == PROTOBUF:
        try:
            return ExportLogsServiceRequest.FromString(body)
        except DecodeError:
            raise InvalidRequestError(
                "the body is no ExportLogsServiceRequest of protobuf"
            ) from None
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise InvalidRequestError("the body is not a JSON object")
        for record in _json_records(document):
            _hex_to_base64(record)
        return ParseDict(document, ExportLogsServiceRequest(), ignore_unknown_fields=True)
    except RecursionError:
        raise InvalidRequestError("the body is nested too deeply") from None
    except (ParseError, ValueError, OverflowError, SystemError) as error:
        # the last two are protobuf's for 1e999 as an integer, and for half a character in a name
        text = str(error).encode("utf-8", "backslashreplace").decode()[:500]
        raise InvalidRequestError(f"the body is no OTLP request of logs: {text}") from None


def events_of(request: ExportLogsServiceRequest) -> list[SentEvent | Unreadable]:
    """An event for each log record, in order; ids are made of the records' content."""
    ids = ContentIds()
    found: list[SentEvent | Unreadable] = []
    for resource_logs in request.resource_logs:
        resource = _mapping(resource_logs.resource.attributes)
        mark = resource_logs.resource.SerializeToString(deterministic=True)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                if len(found) >= MAX_RECORDS:
                    found.append(Unreadable(f"is beyond the first {MAX_RECORDS:,} of a request"))
                    continue
                try:
                    found.append(_event(resource, mark, scope_logs, record, ids))
                except (ValidationError, OverflowError) as error:
                    found.append(Unreadable(f"can't be made an event: {type(error).__name__}"))
    return found


def _event(
    resource: Mapping[str, Any],
    mark: bytes,
    scope_logs: ScopeLogs,
    record: LogRecord,
    ids: ContentIds,
) -> SentEvent:
    attributes = _mapping(record.attributes)
    both = {**resource, **attributes}
    scope = scope_logs.scope.name
    nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
    kind = str(both.get(EVENT_TYPE, ""))
    exception_type = _text(attributes.get("exception.type"))
    stack = _text(attributes.get("exception.stacktrace"))
    body = _value(record.body)
    message = (
        (body if isinstance(body, str) else json.dumps(body, default=str) if body else None)
        or _text(attributes.get("exception.message"))
        or record.event_name
        or exception_type
        or ""
    )
    content = b"\0".join((mark, scope.encode(), record.SerializeToString(deterministic=True)))
    return SentEvent(
        # without a time, two records that are alike may well be two
        event_id=ids.of(content) if nanoseconds else None,
        event_type=kind if kind in EVENT_TYPES else "custom",  # type: ignore[arg-type]
        source=scope or SOURCE,
        level=_level(record),  # type: ignore[arg-type]
        message=message,
        detail=_detail(resource, attributes, record, stack),
        occurred_at=_EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None,
        service=_text(both.get("service.name")),
        instance=_first(both, _INSTANCE),
        container=_first(both, _CONTAINER),
        exception_type=exception_type,
        fingerprint=stack_fingerprint(exception_type, stack) if exception_type else None,
    )


def _detail(
    resource: Mapping[str, Any], attributes: Mapping[str, Any], record: LogRecord, stack: str | None
) -> dict[str, Any]:
    exception = {
        name: value
        for name, value in (
            ("type", attributes.get("exception.type")),
            ("message", attributes.get("exception.message")),
            ("stack", stack),
        )
        if value
    }
    rest = {name: value for name, value in attributes.items() if not name.startswith("exception.")}
    return {
        name: value
        for name, value in (
            ("exception", exception),
            ("attributes", rest),
            ("resource", dict(resource)),
            ("event_name", record.event_name),
            ("trace_id", record.trace_id.hex()),
            ("span_id", record.span_id.hex()),
        )
        if value
    }


def _level(record: LogRecord) -> str:
    number = int(record.severity_number)
    if number == 0:
        level = known_level(record.severity_text)
        return level if level in LEVELS else "info"
    if number <= 12:  # TRACE, DEBUG, INFO: four of each
        return "info"
    return "warning" if number <= 16 else "error" if number <= 20 else "critical"


def _mapping(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:  # noqa: PLR0911  # a case a type
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _mapping(value.kvlist_value.values)
    return None


def _text(value: Any) -> str | None:
    return None if value in (None, "") else value if isinstance(value, str) else str(value)


def _first(attributes: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((text for name in names if (text := _text(attributes.get(name)))), None)


def _json_records(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in _dicts(document, "resourceLogs", "resource_logs"):
        for scope in _dicts(resource, "scopeLogs", "scope_logs"):
            yield from _dicts(scope, "logRecords", "log_records")


def _dicts(document: Mapping[str, Any], *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        value = document.get(name)
        yield from (
            (one for one in value or () if isinstance(one, dict)) if isinstance(value, list) else ()
        )


def _hex_to_base64(record: dict[str, Any]) -> None:
    for name in _HEX_FIELDS:
        if isinstance(record.get(name), str):
            try:
                record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
            except ValueError:
                raise InvalidRequestError(f"{name} is not hex") from None
