"""An operation: what a script decided, as the outbox carries it and the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple, Self

import orjson

from authority.domain.budgets import WindowRef
from authority.domain.callers import Cause
from authority.domain.grants import Grant
from authority.domain.ids import tenant_of
from authority.domain.money import UNITS, Unit
from authority.domain.reservations import Reservation


class Kind(StrEnum):
    """The verbs that move amounts, and those that only say what the cache has saved."""

    RESERVE = "RESERVE"
    COMMIT = "COMMIT"
    RELEASE = "RELEASE"
    REFUND = "REFUND"
    EXPIRE = "EXPIRE"
    EXTEND = "EXTEND"
    ADJUST = "ADJUST"
    GRANT = "GRANT"
    VOID = "VOID"
    CACHE_HIT = "CACHE_HIT"
    CACHE_REVERSAL = "CACHE_REVERSAL"


_KINDS = {kind.value: kind for kind in Kind}
CACHE_KINDS = frozenset({Kind.CACHE_HIT, Kind.CACHE_REVERSAL})


class DenialReason(StrEnum):
    """Why a Reserve was denied."""

    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    BUDGET_BUSY = "BUDGET_BUSY"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    NO_BUDGET = "NO_BUDGET"
    PER_REQUEST_CAP = "PER_REQUEST_CAP"
    CONCURRENCY_CAP = "CONCURRENCY_CAP"
    RATE_LIMITED = "RATE_LIMITED"
    INSUFFICIENT_GRANTS = "INSUFFICIENT_GRANTS"
    DEBT_OUTSTANDING = "DEBT_OUTSTANDING"


WindowDelta = tuple[WindowRef, int, int, int]
"""What an operation added to the three counts of a window or a lot: of all that the hot path makes
there are most of these, and so they are plain tuples."""


class Move(NamedTuple):
    """What an operation added to the cost of its reservation's account, in one unit."""

    unit: Unit
    actual: int
    charged: int
    refunded: int


_IN_DEBT, _LEASED = 1, 2


class LimitingWindow(NamedTuple):
    """One window that did not allow a Reserve, with its numbers at that moment."""

    ref: WindowRef
    limit: int
    reserved: int
    committed: int
    refunded: int
    requested: int
    mark: int  # 1 where an account that may be in debt is; 2 where the limit is a lease

    @property
    def is_leased(self) -> bool:
        """Say whether the limit is what the tenant has leased of the platform's budget."""
        return self.mark == _LEASED

    @property
    def short_by(self) -> int:
        """Return by how much the request did not fit."""
        net = self.reserved + self.committed - self.refunded
        return net + self.requested - self.limit

    @property
    def reason(self) -> DenialReason:
        """Return BUDGET_BUSY where only open reservations are in the way."""
        if self.ref.unit is Unit.RESERVATIONS:
            return DenialReason.CONCURRENCY_CAP
        if self.mark == _IN_DEBT:
            return DenialReason.DEBT_OUTSTANDING
        if self.short_by <= self.reserved:
            return DenialReason.BUDGET_BUSY
        return DenialReason.BUDGET_EXHAUSTED


class Shortage(NamedTuple):
    """A unit in which the grants did not cover a Reserve; `available` is less what is owed."""

    unit: Unit
    requested: int
    available: int
    reserved: int

    @property
    def reason(self) -> DenialReason:
        """Return DEBT_OUTSTANDING where there is more debt than there are grants."""
        if self.available < 0:
            return DenialReason.DEBT_OUTSTANDING
        return DenialReason.INSUFFICIENT_GRANTS


class Restored(NamedTuple):
    """A grant made by a refund to one that had expired, for a time of grace."""

    grant_id: str  # the part behind the slash, as the next
    expired_grant_id: str
    amount: int
    expire_ms: int


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a Reserve or Extend was denied, or an option of a Reserve passed over."""

    reason: DenialReason
    limiting: tuple[LimitingWindow, ...]
    shortages: tuple[Shortage, ...]
    next_expiry_ms: int  # when the earliest open reservation may end; 0 if there is none
    retry_ms: int  # when the rate allows another one; 0 if the rate was not in the way


class Operation(NamedTuple):
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
    restored: tuple[Restored, ...]
    grant: Grant | None  # of GRANT: what was made; of VOID: what was voided
    denied: Denied | None
    actor: str = ""  # of GRANT and VOID: who asked, for the record of changes
    passed: Denied | None = None  # of RESERVE: why a better tier than the one held was not

    @property
    def cause(self) -> Cause:
        """Return who asked for a GRANT or VOID, and why."""
        return Cause(self.actor, orjson.loads(self.request)["reason"])

    @property
    def account(self) -> str:
        """Return the account that the operation was for."""
        if self.reservation is not None:
            return self.reservation.account
        if self.grant is not None:
            return self.grant.account
        return str(orjson.loads(self.request)["account"])

    @classmethod
    def decode(cls, request: str, result: str) -> Self:
        """Read an operation from what the outbox or the ledger holds.

        The result is lines: `id sequence epoch decide_ms`; deltas, each
        `ref,reserved,committed,refunded`; moves, each `unit,actual,charged,refunded`; restored
        grants, each `new,old,amount,expires`; JSON of `denied`, of `passed`, or of `grant` and
        `actor`; and the packed reservation. Many are joined by blanks; what there is none of is an
        empty line.
        """
        asked: Mapping[str, Any] = orjson.loads(request)
        head, deltas, moves, restored, text, packed = result.split("\n", 5)
        operation_id, sequence, epoch, decide_ms = head.split(" ")
        more: Mapping[str, Any] = orjson.loads(text) if text else {}
        reservation = Reservation.unpack(packed) if packed else None
        grant = Grant.decode(more["grant"]) if "grant" in more else None
        owner = asked.get("account")
        if reservation is not None:
            owner = reservation.reservation_id
        elif grant is not None:
            owner = grant.grant_id
        return cls(
            operation_id=operation_id,
            tenant=tenant_of(str(owner)),
            sequence=int(sequence),
            epoch=int(epoch),
            decide_ms=int(decide_ms),
            kind=_KINDS[asked["kind"]],
            idempotency_key=asked.get("key"),
            request=request,
            result=result,
            reservation=reservation,
            deltas=_deltas(deltas),
            moves=tuple([_move(text) for text in moves.split()]),
            restored=tuple([_restored(text) for text in restored.split()]),
            grant=grant,
            denied=_denied(more["denied"]) if "denied" in more else None,
            actor=more.get("actor", ""),
            passed=_denied(more["passed"]) if "passed" in more else None,
        )


def _deltas(texts: str) -> tuple[WindowDelta, ...]:
    rows = [text.split(",") for text in texts.split()]
    return tuple(
        [
            (WindowRef.parse(ref), int(reserved), int(committed), int(refunded))
            for ref, reserved, committed, refunded in rows
        ]
    )


def _move(text: str) -> Move:
    unit, actual, charged, refunded = text.split(",")
    return Move(UNITS[unit], int(actual), int(charged), int(refunded))


def _restored(text: str) -> Restored:
    new, old, amount, expires = text.split(",")
    return Restored(new, old, int(amount), int(expires))


def _denied(fields: Mapping[str, Any]) -> Denied:
    rows = (
        LimitingWindow(WindowRef.parse(ref), *map(int, amounts))
        for ref, *amounts in fields.get("limiting", ())
    )
    limiting = tuple(sorted(rows, key=_tightness))
    shortages = tuple(
        Shortage(Unit(unit), *map(int, amounts)) for unit, *amounts in fields.get("shortages", ())
    )
    return Denied(
        _reason(fields["reason"], limiting, shortages),
        limiting,
        shortages,
        int(fields["next_expiry"]),
        int(fields["retry"]),
    )


def _reason(
    given: str, limiting: Sequence[LimitingWindow], shortages: Sequence[Shortage]
) -> DenialReason:
    """Return the script's reason, else that of the tightest budget, else that of the grants."""
    if given:
        return DenialReason(given)
    return limiting[0].reason if limiting else shortages[0].reason


def _tightness(row: LimitingWindow) -> tuple[bool, Fraction]:
    # Exhausted ones first: waiting does not help there. Then by the missing share of the request.
    return (row.reason is DenialReason.BUDGET_BUSY, -Fraction(row.short_by, row.requested))
