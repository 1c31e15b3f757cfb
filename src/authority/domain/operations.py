"""An operation: what a script decided, as the outbox carries it and the ledger keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple, Self

from authority.domain.budgets import WindowRef
from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.domain.reservations import Reservation


class Kind(StrEnum):
    """The verbs that move amounts."""

    RESERVE = "RESERVE"
    COMMIT = "COMMIT"
    RELEASE = "RELEASE"
    REFUND = "REFUND"
    EXPIRE = "EXPIRE"


class DenialReason(StrEnum):
    """Why a Reserve was denied."""

    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    BUDGET_BUSY = "BUDGET_BUSY"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    NO_BUDGET = "NO_BUDGET"


class WindowDelta(NamedTuple):
    """What an operation added to a window's three counts."""

    ref: WindowRef
    reserved: int
    committed: int
    refunded: int


class Move(NamedTuple):
    """What an operation added to the cost of its reservation's account, in one unit."""

    unit: Unit
    actual: int
    charged: int
    refunded: int


class LimitingWindow(NamedTuple):
    """One window that did not allow a Reserve, with its numbers at that moment."""

    ref: WindowRef
    limit: int
    reserved: int
    committed: int
    refunded: int
    requested: int

    @property
    def short_by(self) -> int:
        """Return by how much the request did not fit."""
        net = self.reserved + self.committed - self.refunded
        return net + self.requested - self.limit

    @property
    def reason(self) -> DenialReason:
        """Return BUDGET_BUSY where only open reservations are in the way."""
        if self.short_by <= self.reserved:
            return DenialReason.BUDGET_BUSY
        return DenialReason.BUDGET_EXHAUSTED


@dataclass(frozen=True, slots=True)
class Denied:
    """The answer of a denied Reserve."""

    reason: DenialReason
    limiting: tuple[LimitingWindow, ...]
    next_expiry_ms: int  # when the earliest open reservation may end; 0 if there is none


@dataclass(frozen=True, slots=True)
class Operation:
    """One decision of the hot store.

    `request` is the caller's canonical JSON, which replays are compared with; `result` is what the
    script wrote. Both are kept as they are, so that an answer can be given again for ever.
    """

    operation_id: str
    tenant: str
    sequence: int
    epoch: int
    decide_ms: int
    kind: Kind
    idempotency_key: str | None
    request: str
    result: str
    reservation: Reservation | None
    deltas: tuple[WindowDelta, ...]
    moves: tuple[Move, ...]
    denied: Denied | None

    @property
    def account(self) -> str:
        """Return the account that the operation was for."""
        if self.reservation is not None:
            return self.reservation.account
        return str(json.loads(self.request)["account"])

    @classmethod
    def decode(cls, request: str, result: str) -> Self:
        """Read an operation from what the outbox or the ledger holds."""
        asked: Mapping[str, Any] = json.loads(request)
        decided: Mapping[str, Any] = json.loads(result)
        held = decided.get("reservation")
        reservation = Reservation.decode(held, json.loads(held["labels"])) if held else None
        owner = reservation.reservation_id if reservation else asked["account"]
        return cls(
            operation_id=decided["operation"],
            tenant=tenant_of(owner),
            sequence=int(decided["sequence"]),
            epoch=int(decided["epoch"]),
            decide_ms=int(decided["now"]),
            kind=Kind(asked["kind"]),
            idempotency_key=asked.get("key"),
            request=request,
            result=result,
            reservation=reservation,
            deltas=tuple(_delta(row) for row in decided.get("deltas") or ()),
            moves=tuple(_move(row) for row in decided.get("moves") or ()),
            denied=_denied(decided["denied"]) if "denied" in decided else None,
        )


def _delta(row: Sequence[str]) -> WindowDelta:
    ref, reserved, committed, refunded = row
    return WindowDelta(WindowRef.parse(ref), int(reserved), int(committed), int(refunded))


def _move(row: Sequence[str]) -> Move:
    unit, actual, charged, refunded = row
    return Move(Unit(unit), int(actual), int(charged), int(refunded))


def _denied(fields: Mapping[str, Any]) -> Denied:
    rows = (
        LimitingWindow(WindowRef.parse(ref), *map(int, amounts))
        for ref, *amounts in fields["limiting"] or ()
    )
    limiting = tuple(sorted(rows, key=_tightness))
    # A denial by a budget takes the reason of the tightest one; any other is given by the account.
    reason = DenialReason(fields["reason"]) if fields["reason"] else limiting[0].reason
    return Denied(reason, limiting, int(fields["next_expiry"]))


def _tightness(row: LimitingWindow) -> tuple[bool, Fraction]:
    # Exhausted ones first: waiting does not help there. Then by the missing share of the request.
    return (row.reason is DenialReason.BUDGET_BUSY, -Fraction(row.short_by, row.requested))
