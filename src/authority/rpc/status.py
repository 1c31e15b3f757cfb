"""The one place that knows gRPC's codes: turns an error into google.rpc.Status with its details."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from authority.domain.errors import (
    InvalidRequest,
    NotFound,
    PaymasterError,
    ReserveDenied,
    SubmissionDenied,
    Unavailable,
    Violation,
)
from authority.rpc.denials import denial_details, submission_details

DOMAIN = "paymaster"
_RETRY_MS = 200
# Clients take trailers of 8 KiB by default and lose the whole status if they are larger.
_VIOLATIONS_MAX = 16
# The message stands there twice besides.
_VIOLATION_BYTES_MAX = 3_000

_CODES = {
    "INVALID_FIELD": code_pb2.INVALID_ARGUMENT,
    "NOT_SIGNED_IN": code_pb2.UNAUTHENTICATED,
    "NOT_ALLOWED": code_pb2.PERMISSION_DENIED,
    "NOT_FOUND": code_pb2.NOT_FOUND,
    "IDEMPOTENCY_KEY_REUSED": code_pb2.ALREADY_EXISTS,
    "RESOURCE_EXISTS": code_pb2.ALREADY_EXISTS,
    "RESERVATION_STATE": code_pb2.FAILED_PRECONDITION,
    "ALREADY_COMMITTED": code_pb2.FAILED_PRECONDITION,
    "REFUND_EXCEEDS_CHARGE": code_pb2.FAILED_PRECONDITION,
    "DENIED": code_pb2.RESOURCE_EXHAUSTED,
    "UNAVAILABLE": code_pb2.UNAVAILABLE,
    "DEADLINE": code_pb2.DEADLINE_EXCEEDED,
    "MODEL_RETIRED": code_pb2.INVALID_ARGUMENT,
    "UNPRICED": code_pb2.INVALID_ARGUMENT,
    "NO_WEB_ADDRESS": code_pb2.FAILED_PRECONDITION,
    "GENERATION_STATE": code_pb2.FAILED_PRECONDITION,
    "BILL_STATE": code_pb2.FAILED_PRECONDITION,
    "DELIVERY_STATE": code_pb2.FAILED_PRECONDITION,
    "INTERNAL": code_pb2.INTERNAL,
}


def status_of(error: PaymasterError) -> status_pb2.Status:
    """Return the status of an error, with its details."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    return status_pb2.Status(
        code=_CODES[error.reason],
        message=error.message,
        details=[_packed(detail) for detail in (info, *_details(error))],
    )


def _details(error: PaymasterError) -> Iterator[Message]:
    match error:
        case InvalidRequest():
            yield error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
                    for name, text in _first(error.violations)
                ]
            )
        case NotFound():
            yield error_details_pb2.ResourceInfo(
                resource_type=error.metadata["resource_type"],
                resource_name=error.metadata["resource_name"],
            )
        case Unavailable():
            yield error_details_pb2.RetryInfo(retry_delay=_duration(_RETRY_MS))
        case ReserveDenied():
            yield from denial_details(error)
        case SubmissionDenied():
            yield from submission_details(error)
        case _:
            pass


def _first(violations: Sequence[Violation]) -> Iterator[Violation]:
    """Yield as many as there is room for, one at least."""
    size = 0
    for number, (field, description) in enumerate(violations[:_VIOLATIONS_MAX]):
        size += len(field.encode()) + len(description.encode())
        if number and size > _VIOLATION_BYTES_MAX:
            return
        yield Violation(field, description)


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def _packed(message: Message) -> ProtoAny:
    packed = ProtoAny()
    packed.Pack(message)
    return packed


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: PaymasterError) -> NoReturn:
    """End the call with the status of an error."""
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort raises")


def internal_status(request_id: str) -> status_pb2.Status:
    """Return the status of a fault of our own. It says nothing of what happened inside."""
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id}
    )
    return status_pb2.Status(
        code=code_pb2.INTERNAL,
        message=f"A fault of Paymaster's own; the outcome is unknown. Request id {request_id}.",
        details=[_packed(info)],
    )
