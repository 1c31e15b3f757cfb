"""Ledger entries: the balanced set of rows that an operation leaves in the books.

Each operation's entries sum to zero, in each unit and, for budgets, in each window:

    a window's books    AVAILABLE  RESERVED  COMMITTED  REFUNDED
    an account's books  CHARGED    ABSORBED  PROVIDER
                        GRANTED    ISSUED

A Reserve moves from AVAILABLE to RESERVED; a Commit from RESERVED to COMMITTED, and back to
AVAILABLE what was not needed, while the account takes CHARGED and the platform ABSORBED out of
PROVIDER, which is what the work really cost. A Refund gives AVAILABLE back out of REFUNDED, and the
platform takes over the charge. An Adjust charges the account and takes that off what the platform
absorbs. Grants are counted as windows are; what is granted is also GRANTED to the account, out of
what was ISSUED.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.operations import Kind, Move, Operation, WindowDelta


class Book(StrEnum):
    """Where an entry is written."""

    AVAILABLE = "AVAILABLE"
    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    REFUNDED = "REFUNDED"
    CHARGED = "CHARGED"
    ABSORBED = "ABSORBED"
    PROVIDER = "PROVIDER"
    GRANTED = "GRANTED"
    ISSUED = "ISSUED"


class Entry(NamedTuple):
    """One immutable row. `ref` is None in an account's books."""

    book: Book
    ref: WindowRef | None
    unit: Unit
    amount: int


def entries_of(operation: Operation) -> list[Entry]:
    """Return the entries of an operation, none of them zero."""
    entries = [
        entry
        for rows in (
            *(_window_entries(delta) for delta in operation.deltas),
            *(_account_entries(move) for move in operation.moves),
            *(_grant_entries(unit, amount) for unit, amount in _granted(operation)),
        )
        for entry in rows
        if entry.amount != 0
    ]
    _assert_balanced(entries)
    return entries


def _window_entries(delta: WindowDelta) -> Iterator[Entry]:
    ref, reserved, committed, refunded = delta
    yield Entry(Book.RESERVED, ref, ref.unit, reserved)
    yield Entry(Book.COMMITTED, ref, ref.unit, committed)
    yield Entry(Book.REFUNDED, ref, ref.unit, -refunded)
    yield Entry(Book.AVAILABLE, ref, ref.unit, refunded - reserved - committed)


def _account_entries(move: Move) -> Iterator[Entry]:
    unit, actual, charged, refunded = move
    yield Entry(Book.PROVIDER, None, unit, -actual)
    yield Entry(Book.CHARGED, None, unit, charged - refunded)
    yield Entry(Book.ABSORBED, None, unit, actual - charged + refunded)


def _granted(operation: Operation) -> Iterator[tuple[Unit, int]]:
    """Yield what an operation granted."""
    if operation.kind is Kind.GRANT:
        assert operation.grant is not None
        yield operation.grant.unit, operation.grant.amount
    if operation.restored:
        assert operation.reservation is not None
        units = {receipt.grant_id: receipt.ref.unit for receipt in operation.reservation.grants}
        for restored in operation.restored:
            yield units[restored.expired_grant_id], restored.amount


def _grant_entries(unit: Unit, amount: int) -> Iterator[Entry]:
    yield Entry(Book.ISSUED, None, unit, -amount)
    yield Entry(Book.GRANTED, None, unit, amount)


def _assert_balanced(entries: list[Entry]) -> None:
    sums: defaultdict[tuple[WindowRef | None, Unit], int] = defaultdict(int)
    for entry in entries:
        sums[entry.ref, entry.unit] += entry.amount
    assert not any(sums.values()), f"unbalanced entries: {entries}"
