"""What an operation is asked with, as values that batches take and repeat, and on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from authority.v1 import budget_service_pb2 as messages
from clients.amounts import Leg, Option
from clients.requests import (
    add_legs,
    duration_to_proto,
    legs_to_proto,
    message,
    new_key,
    options_to_proto,
)


class ReserveMode(StrEnum):
    """What a Reserve does.

    NORMAL holds the first option that fits, whole. CHECK_ONLY says what NORMAL would answer, and
    holds nothing. BEST_EFFORT holds what is left for the last option if none fits whole.
    """

    NORMAL = "NORMAL"
    CHECK_ONLY = "CHECK_ONLY"
    BEST_EFFORT = "BEST_EFFORT"


class Durability(StrEnum):
    """When a Reserve is answered: once it is in the ledger, or once the hot store has decided.

    Should the hot store be lost within the next moment, so is a HOT hold; its Commit is NotFound.
    """

    LEDGER = "LEDGER"
    HOT = "HOT"


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """Asks to set an amount aside: either `legs`, or the first of `options` that fits."""

    account: str
    legs: Sequence[Leg] | None = None
    options: Sequence[Option | Sequence[Leg]] | None = None
    ttl: timedelta | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    mode: ReserveMode = ReserveMode.NORMAL
    durability: Durability = Durability.LEDGER
    idempotency_key: str = field(default_factory=new_key)


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """Settles a reservation with its actual cost, or a part of it if it is not `final`."""

    reservation_id: str
    actual: Sequence[Leg]
    final: bool = True
    force: bool = False
    receipt: str = ""
    idempotency_key: str = field(default_factory=new_key)


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """Gives a charge back: `legs`, or all that is left of it if they are None.

    Raises ValueError for an empty list, which would stand for all on the wire.
    """

    reservation_id: str
    legs: Sequence[Leg] | None = None
    reason: str = ""
    idempotency_key: str = field(default_factory=new_key)

    def __post_init__(self) -> None:
        if self.legs is not None and not self.legs:
            raise ValueError("`legs` is empty; leave it out to refund all that is left")


_MODES = {mode: messages.ReserveMode.Value(f"RESERVE_MODE_{mode}") for mode in ReserveMode}
_DURABILITIES = {
    durability: messages.Durability.Value(f"DURABILITY_{durability}") for durability in Durability
}


def reserve_to_proto(request: ReserveRequest) -> messages.ReserveRequest:
    """Return the proto's message. Raises TypeError unless either legs or options are given."""
    return reserve_message(
        request.account,
        request.legs,
        request.options,
        ttl=request.ttl,
        labels=request.labels,
        mode=request.mode,
        durability=request.durability,
        idempotency_key=request.idempotency_key,
    )


def reserve_message(
    account: str,
    legs: Sequence[Leg] | None,
    options: Sequence[Option | Sequence[Leg]] | None,
    *,
    ttl: timedelta | None,
    labels: Mapping[str, str] | None,
    mode: ReserveMode,
    durability: Durability,
    idempotency_key: str,
) -> messages.ReserveRequest:
    """Return the proto's message. Raises TypeError unless either legs or options are given."""
    request = message(
        messages.ReserveRequest,
        idempotency_key=idempotency_key,
        account=account,
        mode=_MODES.get(mode) or messages.ReserveMode.Value(f"RESERVE_MODE_{mode}"),
        durability=_DURABILITIES.get(durability)
        or messages.Durability.Value(f"DURABILITY_{durability}"),
        ttl=duration_to_proto(ttl),
        labels=dict(labels) if labels else None,
    )
    if legs is None or options is not None:
        request.options.extend(options_to_proto(legs, options))
    else:
        add_legs(request.options.add().legs, legs)
    return request


def commit_to_proto(request: CommitRequest) -> messages.CommitRequest:
    """Return the proto's message."""
    return commit_message(
        request.reservation_id,
        request.actual,
        final=request.final,
        force=request.force,
        receipt=request.receipt,
        idempotency_key=request.idempotency_key,
    )


def commit_message(
    reservation_id: str,
    actual: Sequence[Leg],
    *,
    final: bool,
    force: bool,
    receipt: str,
    idempotency_key: str,
) -> messages.CommitRequest:
    """Return the proto's message."""
    request = message(
        messages.CommitRequest,
        idempotency_key=idempotency_key,
        reservation_id=reservation_id,
        final=final,
        force=force,
        receipt=receipt,
    )
    add_legs(request.actual, actual)
    return request


def refund_to_proto(request: RefundRequest) -> messages.RefundRequest:
    """Return the proto's message."""
    return message(
        messages.RefundRequest,
        idempotency_key=request.idempotency_key,
        reservation_id=request.reservation_id,
        legs=legs_to_proto(request.legs or ()),
        reason=request.reason,
    )
