"""Routes: OpenTelemetry's logs over HTTP, at the path that its exporters add to their endpoint."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from monitoring.api.intake import BodyDep, SenderDep, media_type, store_sent
from monitoring.api.store import StoreDep
from monitoring.intake.otlp import JSON, PROTOBUF, SOURCE, events_of, read_request
from userdb.errors import InvalidRequestError

router = APIRouter(tags=["events"])

_INVALID_ARGUMENT = 3  # of google.rpc.Code
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_REQUEST = {
    JSON: {
        "schema": {"type": "object", "properties": {"resourceLogs": {"type": "array"}}},
        "example": {
            "resourceLogs": [
                {
                    "resource": {
                        "attributes": [
                            {"key": "service.name", "value": {"stringValue": "sim-7"}},
                        ]
                    },
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": "1769853600000000000",
                                    "severityNumber": 17,
                                    "body": {"stringValue": "payment failed"},
                                }
                            ]
                        }
                    ],
                }
            ]
        },
    },
    PROTOBUF: _BINARY,
}
_ANSWER = {JSON: {"schema": {"type": "object"}}, PROTOBUF: _BINARY}


@router.post(
    "/v1/logs",
    summary="Report OpenTelemetry logs",
    response_class=Response,
    openapi_extra={"requestBody": {"required": True, "content": _REQUEST}},
    responses={
        200: {"description": "ExportLogsServiceResponse", "content": _ANSWER},
        400: {"description": "google.rpc.Status: the body can't be read", "content": _ANSWER},
        415: {"description": "Neither protobuf nor JSON"},
        503: {"description": "userdb can't be written to: exporters try again"},
    },
)
def logs(sender: SenderDep, store: StoreDep, request: Request, body: BodyDep) -> Response:
    """Store each log record as an event (OTLP/HTTP, `ExportLogsServiceRequest`).

    Records that are not stored are counted in `partialSuccess`, with the first reason. The answer
    has the request's media type. A record that is sent again is known by its content.
    """
    kind = media_type(request)
    if kind not in (PROTOBUF, JSON):
        raise HTTPException(415, f"send {PROTOBUF} or {JSON}")
    try:
        sent = events_of(read_request(body, kind))
    except InvalidRequestError as error:
        return _answer(Status(code=_INVALID_ARGUMENT, message=str(error)), kind, status=400)
    receipt = store_sent(request, store, sent, source=SOURCE)
    answer = ExportLogsServiceResponse()
    if receipt.rejected:
        first = receipt.rejected[0]
        answer.partial_success.CopyFrom(
            ExportLogsPartialSuccess(
                rejected_log_records=len(receipt.rejected),
                error_message=f"record {first.index}: {first.message}",
            )
        )
    return _answer(answer, kind)


def _answer(message: Message, kind: str, status: int = 200) -> Response:
    text = MessageToJson(message, indent=None) if kind == JSON else message.SerializeToString()
    return Response(text, status_code=status, media_type=kind)
