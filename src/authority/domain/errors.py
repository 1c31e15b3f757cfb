"""Everything that an operation can answer other than its result.

    PaymasterError
    ├── InvalidRequest        a field is missing, malformed or out of range
    ├── NotSignedIn           the call has no valid token
    ├── NotAllowed            the caller lacks a scope, or names something of another tenant
    ├── NotFound              the named thing does not exist
    ├── AlreadyExists         the thing to be made exists
    ├── IdempotencyKeyReused  the key was used for another request
    ├── ReservationStateError the reservation's state does not allow it
    │   └── AlreadyCommitted  it was committed under another key
    ├── RefundExceedsCharge   more than what is left of the charge
    ├── ReserveDenied         the budget does not allow it
    ├── SubmissionDenied      the account may not submit, now or any more
    ├── Unavailable           a store is away; the outcome may be unknown, the same key is safe
    ├── OutOfTime             the call took too long; the same key is safe
    ├── ModelRetired          the model has a substitute
    ├── ModelUnpriced         the catalogue has no price for it
    ├── BillStateError        no bill covers the day, or there is nothing to adjust
    ├── DeliveryStateError    the delivery's state does not allow it to be told anew
    └── NoWebAddress          artifacts have no URL, as nothing serves them to browsers

`reason` is the name in the proto's ErrorReason; `metadata` holds every changing part of the
message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from authority.domain.budgets import BudgetWindow, WindowRef
from authority.domain.operations import DenialReason, Operation


class PaymasterError(Exception):
    """The root of the tree."""

    reason: ClassVar[str]

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class Violation(NamedTuple):
    """One field that is wrong, and the way out."""

    field: str
    description: str


# A message must fit into a call's trailers, whatever was sent.
_TOLD_MAX = 4


class InvalidRequest(PaymasterError):
    """A field is missing, malformed or out of range."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: list[Violation]) -> None:
        told = "; ".join(f"{field}: {text}" for field, text in violations[:_TOLD_MAX])
        more = len(violations) - _TOLD_MAX
        super().__init__(f"{told}; and {more} more" if more > 0 else told)
        self.violations = violations

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequest:
        """Return the error for one field."""
        return cls([Violation(field, description)])


class NotSignedIn(PaymasterError):
    """The call has no valid token."""

    reason = "NOT_SIGNED_IN"


class NotAllowed(PaymasterError):
    """The caller lacks a scope, or names something of another tenant."""

    reason = "NOT_ALLOWED"


class NotFound(PaymasterError):
    """The named thing does not exist."""

    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} {name!r}.", resource_type=kind, resource_name=name)


class AlreadyExists(PaymasterError):
    """The thing to be made exists."""

    reason = "RESOURCE_EXISTS"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"The {kind} {name!r} exists already; change it with an update.",
            resource_type=kind,
            resource_name=name,
        )


class IdempotencyKeyReused(PaymasterError):
    """The key was used for another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str, fields: list[str]) -> None:
        names = ", ".join(fields)
        super().__init__(
            f"The idempotency key {key!r} was used for another request, which differs in: {names}. "
            "Use a new key for a new request.",
            idempotency_key=key,
            fields=names,
        )


class ReservationStateError(PaymasterError):
    """The reservation's state does not allow the operation."""

    reason = "RESERVATION_STATE"

    def __init__(self, reservation_id: str, state: str, verb: str) -> None:
        super().__init__(
            f"The reservation {reservation_id} is {state} and can't be {verb}.",
            reservation_id=reservation_id,
            state=state,
        )


class AlreadyCommitted(ReservationStateError):
    """The reservation was committed under another key."""

    reason = "ALREADY_COMMITTED"

    def __init__(self, reservation_id: str, key: str) -> None:
        super().__init__(reservation_id, "COMMITTED", "committed again")
        self.message += f" Its commit has the idempotency key {key!r}."
        self.metadata["idempotency_key"] = key


class RefundExceedsCharge(PaymasterError):
    """The refund is larger than what is left of the charge."""

    reason = "REFUND_EXCEEDS_CHARGE"

    def __init__(self, unit: str, refundable: int) -> None:
        super().__init__(
            f"Only {refundable} {unit} of the charge are left to refund.",
            unit=unit,
            refundable=str(refundable),
        )


class ReserveDenied(PaymasterError):
    """The budget does not allow it.

    `operation.denied` has every limit that was in the way; `windows` tells which budget each one
    is; `now_ms` is when the denial is answered, which for a replay is later than it was decided.
    """

    reason = "DENIED"

    def __init__(self, operation: Operation, *, replayed: bool) -> None:
        assert operation.denied is not None
        super().__init__(
            f"{operation.kind.capitalize()} for {operation.account!r} was denied: "
            f"{operation.denied.reason}.",
            denial_reason=operation.denied.reason,
            replayed=str(replayed).lower(),
        )
        self.operation = operation
        self.denied = operation.denied
        self.windows: Mapping[WindowRef, BudgetWindow] = {}
        self.now_ms = operation.decide_ms


class LimitingRate(NamedTuple):
    """A rate that did not allow a submission: an account's, or an API key's."""

    account: str
    api_key_id: str
    per_minute: int
    retry_ms: int


class SubmissionDenied(PaymasterError):
    """The account may not submit. Nothing is kept of it, so the same key may be used again."""

    reason = "DENIED"

    def __init__(
        self, account: str, reason: DenialReason, rates: Sequence[LimitingRate] = ()
    ) -> None:
        super().__init__(
            f"A submission for {account!r} was denied: {reason}.", denial_reason=reason
        )
        self.account = account
        self.denial_reason = reason
        self.rates = sorted(rates, key=lambda rate: -rate.retry_ms)


class Unavailable(PaymasterError):
    """A store is away. The outcome may be unknown; retrying with the same key is safe."""

    reason = "UNAVAILABLE"


class OutOfTime(PaymasterError):
    """The call took longer than a call may; the outcome is unknown, the same key is safe."""

    reason = "DEADLINE"


class ModelRetired(PaymasterError):
    """The model was retired."""

    reason = "MODEL_RETIRED"


class ModelUnpriced(PaymasterError):
    """The catalogue has no price for the model at that size and quality."""

    reason = "UNPRICED"


class GenerationStateError(PaymasterError):
    """The generation's state does not allow the operation."""

    reason = "GENERATION_STATE"

    def __init__(self, generation_id: str, state: str, why: str) -> None:
        super().__init__(
            f"The generation {generation_id} {why}. To have another one made, submit one with it as"
            " parent_id.",
            generation_id=generation_id,
            state=state,
        )


class BillStateError(PaymasterError):
    """No bill covers the day, or there is nothing to adjust."""

    reason = "BILL_STATE"

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why, state=state)


class DeliveryStateError(PaymasterError):
    """The delivery's state does not allow it to be told anew."""

    reason = "DELIVERY_STATE"

    def __init__(self, delivery_id: str, state: str, why: str) -> None:
        super().__init__(
            f"The delivery {delivery_id} can't be told anew: {why}.",
            delivery_id=delivery_id,
            state=state,
        )


class NoWebAddress(PaymasterError):
    """Artifacts have no URL, as nothing serves them to browsers."""

    reason = "NO_WEB_ADDRESS"

    def __init__(self) -> None:
        super().__init__(
            "Artifacts have no web address: set AUTHORITY_WEB_PORT, or keep them in a bucket. "
            "DownloadArtifact gives the bytes."
        )
