"""Every status becomes the error of its reason, with what its details say."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from authority.v1 import errors_pb2
from authority_script import status
from clients import DenialReason, LimitingBudget, Unit, Window, errors
from clients.status import error_from_rpc

# Each reason of the proto, its code there, and the class.
REASONS = {
    "INVALID_FIELD": ("INVALID_ARGUMENT", errors.InvalidRequest),
    "NOT_SIGNED_IN": ("UNAUTHENTICATED", errors.NotSignedIn),
    "NOT_ALLOWED": ("PERMISSION_DENIED", errors.NotAllowed),
    "NOT_FOUND": ("NOT_FOUND", errors.NotFound),
    "IDEMPOTENCY_KEY_REUSED": ("ALREADY_EXISTS", errors.IdempotencyKeyReused),
    "RESOURCE_EXISTS": ("ALREADY_EXISTS", errors.AlreadyExists),
    "RESERVATION_STATE": ("FAILED_PRECONDITION", errors.ReservationStateError),
    "ALREADY_COMMITTED": ("FAILED_PRECONDITION", errors.AlreadyCommitted),
    "REFUND_EXCEEDS_CHARGE": ("FAILED_PRECONDITION", errors.RefundExceedsCharge),
    "DENIED": ("RESOURCE_EXHAUSTED", errors.BudgetDenied),
    "UNAVAILABLE": ("UNAVAILABLE", errors.Unavailable),
    "DEADLINE": ("DEADLINE_EXCEEDED", errors.DeadlineExceeded),
    "MODEL_RETIRED": ("INVALID_ARGUMENT", errors.ModelRetired),
    "UNPRICED": ("INVALID_ARGUMENT", errors.Unpriced),
    "NO_WEB_ADDRESS": ("FAILED_PRECONDITION", errors.NoWebAddress),
    "GENERATION_STATE": ("FAILED_PRECONDITION", errors.GenerationStateError),
    "BILL_STATE": ("FAILED_PRECONDITION", errors.BillStateError),
    "DELIVERY_STATE": ("FAILED_PRECONDITION", errors.DeliveryStateError),
    "INTERNAL": ("INTERNAL", errors.InternalError),
}


def failure(rich):
    """Return the error that a call raises when the server answers with a status."""
    sent = rpc_status.to_status(rich)
    trailers = grpc.aio.Metadata.from_tuple(sent.trailing_metadata)
    return mapped(sent.code, sent.details, trailers)


def mapped(code, details="", trailers=None):
    """Return the error for what gRPC has to tell."""
    rpc_error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)
    return error_from_rpc(rpc_error, address="127.0.0.1:7460", timeout=2.0)


def test_the_table_above_is_the_proto_s():
    names = [name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()]  # noqa: SIM118 - it is no dict
    assert set(names) - {"UNSPECIFIED"} == REASONS.keys()


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_its_own_error(reason):
    code, kind = REASONS[reason]
    error = failure(status(code, reason, colour="red"))
    assert type(error) is kind
    assert error.reason == kind.reason == reason
    assert error.code is kind.code is grpc.StatusCode[code]
    assert error.message == str(error) == f"It was {reason}."
    assert error.metadata == {"colour": "red"}
    assert error.retry_after is None


def test_the_outcome_is_unknown_where_the_proto_says_so():
    unknown = {reason for reason, (_, kind) in REASONS.items() if kind("x").outcome_unknown}
    assert unknown == {"UNAVAILABLE", "DEADLINE", "INTERNAL"}
    assert mapped(grpc.StatusCode.CANCELLED).outcome_unknown


def test_metadata_has_names():
    reused = failure(status("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED", fields="account, options"))
    assert reused.fields == ("account", "options")
    committed = failure(status("FAILED_PRECONDITION", "ALREADY_COMMITTED", idempotency_key="k"))
    assert committed.committed_key == "k"
    assert failure(status("FAILED_PRECONDITION", "RESERVATION_STATE", state="X")).state == "X"
    exceeds = failure(status("FAILED_PRECONDITION", "REFUND_EXCEEDS_CHARGE", refundable="7"))
    assert exceeds.refundable == 7
    assert failure(status("INVALID_ARGUMENT", "MODEL_RETIRED", substitute="s")).substitute == "s"
    assert failure(status("INVALID_ARGUMENT", "UNPRICED")).substitute == ""


def test_violations_are_named():
    violation = error_details_pb2.BadRequest.FieldViolation(field="ttl", description="is too long")
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    error = failure(status("INVALID_ARGUMENT", "INVALID_FIELD", bad))
    assert error.violations == (errors.Violation("ttl", "is too long"),)


def test_a_denial_has_its_numbers():
    reset = datetime(2026, 11, 22, tzinfo=UTC)
    budget = errors_pb2.LimitingBudget(
        account="acme",
        budget="usd-day",
        unit="UNIT_USD",
        window="WINDOW_DAY",
        limit=100,
        reserved=20,
        committed=70,
        requested=30,
        short_by=20,
        reset_time=Timestamp(seconds=int(reset.timestamp())),
        reason="DENIAL_REASON_BUDGET_EXHAUSTED",
    )
    denial = errors_pb2.Denial(
        reason="DENIAL_REASON_BUDGET_EXHAUSTED",
        account="acme/alice",
        limiting_budgets=[budget],
        limiting_budget_count=9,
    )
    error = failure(
        status(
            "RESOURCE_EXHAUSTED",
            "DENIED",
            error_details_pb2.QuotaFailure(),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3)),
            denial,
        )
    )
    assert error.retry_after == timedelta(seconds=3)
    assert (error.denial.account, error.denial.limiting_budget_count) == ("acme/alice", 9)
    assert error.denial.limiting_budgets == (
        LimitingBudget(
            account="acme",
            budget="usd-day",
            unit=Unit.USD,
            window=Window.DAY,
            limit=100,
            reserved=20,
            committed=70,
            requested=30,
            short_by=20,
            reset_time=reset,
            reason=DenialReason.BUDGET_EXHAUSTED,
        ),
    )


def test_an_unreachable_authority_is_named():
    error = mapped(grpc.StatusCode.UNAVAILABLE, "connection refused")
    assert type(error) is errors.Unavailable
    assert "127.0.0.1:7460" in str(error)
    assert "connection refused" in str(error)


def test_a_call_that_was_cut_off_while_it_was_written_is_tried_again():
    error = mapped(grpc.StatusCode.INTERNAL, "Internal error from Core")
    assert type(error) is errors.Unavailable
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.outcome_unknown
    assert "ended while it was being sent" in str(error)
    assert type(mapped(grpc.StatusCode.INTERNAL, "any other")) is errors.InternalError


def test_a_deadline_that_grpc_kept_says_what_to_do():
    error = mapped(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert type(error) is errors.DeadlineExceeded
    assert "within 2 s" in str(error)
    assert "same idempotency key" in str(error)


def test_an_exhausted_resource_without_a_denial_is_none():
    error = mapped(grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max")
    assert type(error) is errors.PaymasterError
    assert error.reason == "RESOURCE_EXHAUSTED"


def test_a_reason_of_a_newer_authority_goes_by_its_code():
    error = failure(status("UNAVAILABLE", "PAUSED"))
    assert type(error) is errors.Unavailable
    assert error.reason == "PAUSED"
    assert type(failure(status("RESOURCE_EXHAUSTED", "RATE_LIMITED"))) is errors.PaymasterError


@pytest.mark.parametrize("trailer", [b"\xff", b""])
def test_details_that_cannot_be_read_are_none(trailer):
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", trailer))
    assert type(mapped(grpc.StatusCode.NOT_FOUND, "gone", trailers)) is errors.NotFound


def test_errors_pass_between_processes():
    denied = failure(status("RESOURCE_EXHAUSTED", "DENIED", errors_pb2.Denial(account="acme")))
    copy = pickle.loads(pickle.dumps(denied))
    assert type(copy) is errors.BudgetDenied
    assert (copy.denial, copy.metadata, str(copy)) == (denied.denial, denied.metadata, str(denied))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = set(re.findall(r"── (\w+)", errors.__doc__))
    real = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.PaymasterError)
    }
    assert drawn == real - {"PaymasterError"}
