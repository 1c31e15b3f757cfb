"""The one place that knows gRPC's statuses: turns one into an error of the tree."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from authority.v1 import errors_pb2
from clients import errors
from clients.convert import denial_from_proto
from clients.types import Denial, DenialReason

DOMAIN = "paymaster"

_BY_REASON: dict[str, type[errors.PaymasterError]] = {
    error.reason: error
    for error in (
        errors.InvalidRequest,
        errors.ModelRetired,
        errors.Unpriced,
        errors.NotSignedIn,
        errors.NotAllowed,
        errors.NotFound,
        errors.AlreadyExists,
        errors.IdempotencyKeyReused,
        errors.ReservationStateError,
        errors.AlreadyCommitted,
        errors.RefundExceedsCharge,
        errors.BudgetDenied,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.NoWebAddress,
        errors.GenerationStateError,
        errors.BillStateError,
        errors.DeliveryStateError,
        errors.InternalError,
    )
}
# For statuses without a reason, which gRPC itself or a proxy made, and for reasons that this client
# is too old to know. RESOURCE_EXHAUSTED is not there: only a Denial makes a BudgetDenied.
_BY_CODE: dict[grpc.StatusCode, type[errors.PaymasterError]] = {
    error.code: error
    for error in (
        errors.InvalidRequest,
        errors.NotSignedIn,
        errors.NotAllowed,
        errors.NotFound,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.InternalError,
    )
}

# What grpc.aio says, with INTERNAL, of a call that ended while it was being written to, such as an
# import that the authority refused in its midst: it has lost the status that the call ended with.
_CUT_OFF = "Internal error from Core"

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_Detail = TypeVar("_Detail", bound=Message)


def error_from_rpc(
    rpc_error: grpc.RpcError, *, address: str, timeout: float
) -> errors.PaymasterError:
    """Return the error that a failed call stands for, async or sync.

    `address` and `timeout` (seconds) are for the message where gRPC itself gave up.
    """
    status = _status(rpc_error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    if info is not None and info.domain == DOMAIN:
        return error_from_status(status)
    code = rpc_error.code()
    if code is grpc.StatusCode.INTERNAL and rpc_error.details() == _CUT_OFF:
        code = grpc.StatusCode.UNAVAILABLE
    text = _local_message(code, rpc_error.details() or "", address, timeout)
    return _BY_CODE.get(code, errors.PaymasterError)(text, reason=_name(code), code=code)


def error_from_status(status: status_pb2.Status) -> errors.PaymasterError:
    """Return the error that a status of the authority's stands for, of a call or of an item."""
    info = _detail(status, error_details_pb2.ErrorInfo) or error_details_pb2.ErrorInfo()
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, errors.PaymasterError)
    error = kind(
        status.message,
        reason=info.reason,
        code=code,
        metadata=info.metadata,
        retry_after=_retry_after(status),
    )
    if isinstance(error, errors.InvalidRequest):
        bad = _detail(status, error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
        error.violations = tuple(
            errors.Violation(violation.field, violation.description)
            for violation in bad.field_violations
        )
    if isinstance(error, errors.BudgetDenied):
        error.denial = _denial(status)
    return error


def _status(rpc_error: grpc.RpcError) -> status_pb2.Status:
    """Return the rich status; an empty one if there is none or it can't be read."""
    try:
        status = rpc_status.from_call(cast("grpc.Call", rpc_error))
    except (ValueError, DecodeError):
        status = None
    return status or status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            packed.Unpack(detail)
            return detail
    return None


def _retry_after(status: status_pb2.Status) -> timedelta | None:
    info = _detail(status, error_details_pb2.RetryInfo)
    return info.retry_delay.ToTimedelta() if info else None


def _denial(status: status_pb2.Status) -> Denial:
    message = _detail(status, errors_pb2.Denial)
    return denial_from_proto(message) if message else Denial(DenialReason.UNKNOWN)


def _name(code: grpc.StatusCode) -> str:
    kind = _BY_CODE.get(code)
    return kind.reason if kind else code.name


def _local_message(code: grpc.StatusCode, details: str, address: str, timeout: float) -> str:
    match code:
        case grpc.StatusCode.UNAVAILABLE if details == _CUT_OFF:
            return f"The call to {address} ended while it was being sent; the outcome is unknown."
        case grpc.StatusCode.UNAVAILABLE:
            return (
                f"The authority at {address} can't be reached; is it running, and is the address "
                f"right? ({details})"
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return (
                f"The authority at {address} gave no answer within {timeout:g} s; the outcome is "
                "unknown. Repeating the call with the same idempotency key is safe."
            )
        case _:
            return f"The call to {address} ended with {code.name}: {details}"
