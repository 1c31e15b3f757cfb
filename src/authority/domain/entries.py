"""Ledger entries: the balanced set of rows that an operation leaves in the books.

Each operation's entries sum to zero, in each unit and, for budgets, in each window:

    a window's books    AVAILABLE  RESERVED  COMMITTED  REFUNDED
    an account's books  CHARGED    ABSORBED  PROVIDER

A Reserve moves from AVAILABLE to RESERVED; a Commit from RESERVED to COMMITTED, and back to
AVAILABLE what was not needed, while the account takes CHARGED and the platform ABSORBED out of
PROVIDER, which is what the work really cost. A Refund gives AVAILABLE back out of REFUNDED, and the
platform takes over the charge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.operations import Move, Operation, WindowDelta


class Book(StrEnum):
    """Where an entry is written."""

    AVAILABLE = "AVAILABLE"
    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    REFUNDED = "REFUNDED"
    CHARGED = "CHARGED"
    ABSORBED = "ABSORBED"
    PROVIDER = "PROVIDER"


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


def _assert_balanced(entries: list[Entry]) -> None:
    sums: defaultdict[tuple[WindowRef | None, Unit], int] = defaultdict(int)
    for entry in entries:
        sums[entry.ref, entry.unit] += entry.amount
    assert not any(sums.values()), f"unbalanced entries: {entries}"
