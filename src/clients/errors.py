"""Everything that a call can raise other than its result.

    PaymasterError
    ├── InvalidRequest             a field is missing, malformed or out of range
    │   ├── ModelRetired           the model was retired; `substitute` names another
    │   └── Unpriced               the catalogue has no price for the model
    ├── NotSignedIn                the call has no valid token
    ├── NotAllowed                 the token lacks a scope, or is of another tenant
    ├── NotFound                   the named thing does not exist
    ├── AlreadyExists              the account or budget to be made exists
    ├── IdempotencyKeyReused       the key was used for another request
    ├── ReservationStateError      the reservation's state does not allow it
    │   └── AlreadyCommitted       it was committed under another key
    ├── RefundExceedsCharge        more than what is left of the charge
    ├── BudgetDenied               the budget does not allow it; do not retry with the same key
    ├── Unavailable                a store is away, or the authority can't be reached
    ├── DeadlineExceeded           no answer in time
    ├── GenerationStateError       the generation's state does not allow it
    ├── BillStateError             no bill covers the day, or there is no difference
    ├── DeliveryStateError         the delivery of an alert was not given up
    ├── NoWebAddress               nothing serves artifacts to browsers
    ├── InternalError              a fault of Paymaster's own
    ├── NearMatches                the cache has what is near; `suggestions` says what
    └── ArtifactDamaged            the bytes received are not those that were stored

`reason` is a value of the proto's ErrorReason; a status that has none gives its gRPC code's name.
Where `outcome_unknown` is true the operation may have happened: repeating it with the same
`idempotency_key` is always safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import grpc

from clients.generation_types import ReuseSuggestion
from clients.types import Denial

_UNKNOWN_OUTCOMES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class PaymasterError(Exception):
    """The root of the tree, and every error that has no class of its own."""

    reason = "UNKNOWN"
    code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.reason
        self.code = code or self.code
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after
        self.idempotency_key = ""

    @property
    def outcome_unknown(self) -> bool:
        """Whether the operation may have happened all the same."""
        return self.code in _UNKNOWN_OUTCOMES


class Violation(NamedTuple):
    """One field that is wrong, and the way out."""

    field: str
    description: str


class InvalidRequest(PaymasterError):
    """A field is missing, malformed or out of range; `violations` names each one."""

    reason = "INVALID_FIELD"
    code = grpc.StatusCode.INVALID_ARGUMENT
    violations: Sequence[Violation] = ()


class ModelRetired(InvalidRequest):
    """The model was retired."""

    reason = "MODEL_RETIRED"

    @property
    def substitute(self) -> str:
        """The model to use in its place; empty if none is known."""
        return self.metadata.get("substitute", "")


class Unpriced(InvalidRequest):
    """The catalogue has no price for the model at that size and quality."""

    reason = "UNPRICED"

    @property
    def substitute(self) -> str:
        """A model that has a price; empty if none is known."""
        return self.metadata.get("substitute", "")


class NearMatches(PaymasterError):
    """The generation was not taken in, as it asked for what the cache has near it, and there is.

    `suggestions` are the nearest first. The idempotency key was not used up.
    """

    reason = "NEAR_MATCHES"
    code = grpc.StatusCode.OK

    def __init__(self, suggestions: tuple[ReuseSuggestion, ...]) -> None:
        super().__init__(f"The cache has {len(suggestions)} near matches; nothing was handed in.")
        self.suggestions = suggestions


class GenerationStateError(PaymasterError):
    """The generation's state does not allow the operation."""

    reason = "GENERATION_STATE"
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def state(self) -> str:
        """The state that the generation is in."""
        return self.metadata.get("state", "")


class BillStateError(PaymasterError):
    """No bill covers the day, or its books have what was billed already."""

    reason = "BILL_STATE"
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def state(self) -> str:
        """What the bill and the books have come to, such as `MATCHED` or `NO_BILL`."""
        return self.metadata.get("state", "")


class DeliveryStateError(PaymasterError):
    """The delivery of an alert was not given up, or its rule has no such channel any more."""

    reason = "DELIVERY_STATE"
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def state(self) -> str:
        """The state that the delivery is in."""
        return self.metadata.get("state", "")


class NoWebAddress(PaymasterError):
    """Artifacts have no URL, as nothing serves them to browsers; their bytes can be downloaded."""

    reason = "NO_WEB_ADDRESS"
    code = grpc.StatusCode.FAILED_PRECONDITION


class NotSignedIn(PaymasterError):
    """The call has no valid token."""

    reason = "NOT_SIGNED_IN"
    code = grpc.StatusCode.UNAUTHENTICATED


class NotAllowed(PaymasterError):
    """The token lacks the scope that the call needs, or names something of another tenant."""

    reason = "NOT_ALLOWED"
    code = grpc.StatusCode.PERMISSION_DENIED

    @property
    def scope(self) -> str:
        """The scope that the call needs; empty if that is not what is missing."""
        return self.metadata.get("scope", "")


class NotFound(PaymasterError):
    """The named account, budget, reservation, generation or artifact does not exist."""

    reason = "NOT_FOUND"
    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(PaymasterError):
    """The account or budget to be made exists already."""

    reason = "RESOURCE_EXISTS"
    code = grpc.StatusCode.ALREADY_EXISTS


class IdempotencyKeyReused(PaymasterError):
    """The idempotency key was used for another request: a bug in the caller."""

    reason = "IDEMPOTENCY_KEY_REUSED"
    code = grpc.StatusCode.ALREADY_EXISTS

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields in which the two requests differ."""
        names = self.metadata.get("fields", "").split(",")
        return tuple(name.strip() for name in names if name.strip())


class ReservationStateError(PaymasterError):
    """The reservation's state does not allow the operation."""

    reason = "RESERVATION_STATE"
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def state(self) -> str:
        """The state that the reservation is in, such as `RELEASED`."""
        return self.metadata.get("state", "")


class AlreadyCommitted(ReservationStateError):
    """The reservation was committed under another idempotency key."""

    reason = "ALREADY_COMMITTED"

    @property
    def committed_key(self) -> str:
        """The idempotency key of the commit that took place."""
        return self.metadata.get("idempotency_key", "")


class RefundExceedsCharge(PaymasterError):
    """The refund is larger than what is left of the charge."""

    reason = "REFUND_EXCEEDS_CHARGE"
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def refundable(self) -> int:
        """What is left of the charge, in the unit's smallest step."""
        return int(self.metadata.get("refundable", "0"))


class BudgetDenied(PaymasterError):
    """The budget does not allow the Reserve; `denial` has every limit that was in the way.

    `retry_after` says when a new Reserve, with a new key, may succeed; None if time alone does not
    help. The same key gets the same denial for ever. `denial.limiting_budgets` are the budgets with
    their numbers and reset times, and `denial.grant_shortages` the units that lack grants.
    """

    reason = "DENIED"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    denial = Denial()


class Unavailable(PaymasterError):
    """The authority or one of its stores is away; the outcome is unknown."""

    reason = "UNAVAILABLE"
    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(PaymasterError):
    """There was no answer in time; the outcome is unknown."""

    reason = "DEADLINE"
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class InternalError(PaymasterError):
    """A fault of Paymaster's own, which should never be seen; the outcome is unknown."""

    reason = "INTERNAL"
    code = grpc.StatusCode.INTERNAL


class ArtifactDamaged(PaymasterError):
    """The bytes received are not those that were stored; download the artifact again."""

    reason = "ARTIFACT_DAMAGED"
    code = grpc.StatusCode.DATA_LOSS
