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

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from authority.domain.money import Unit
from authority.domain.operations import Kind, Operation


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


# The letters that a posting has for them; the ledger's view reads the same. A unit's is its first.
BOOKS = {
    "A": Book.AVAILABLE,
    "R": Book.RESERVED,
    "C": Book.COMMITTED,
    "F": Book.REFUNDED,
    "H": Book.CHARGED,
    "B": Book.ABSORBED,
    "P": Book.PROVIDER,
    "G": Book.GRANTED,
    "I": Book.ISSUED,
}
UNITS = {
    "U": Unit.USD,
    "C": Unit.CREDITS,
    "I": Unit.IMAGES,
    "V": Unit.VIDEOS,
    "M": Unit.MESSAGES,
    "R": Unit.RESERVATIONS,
}
WindowKey = tuple[int, int]
"""The key of a budget or a lot, which has one unit, and the start of a window in ms."""


_Entries = tuple[tuple[str, int], ...]
"""The letters of books with amounts."""


WindowSum = tuple[Unit, int, int, int]
"""The unit of a window or lot, and what was added to reserved, committed and refunded."""


class Posting(NamedTuple):
    """The entries of an operation as columns: a letter for each book and unit, and each amount.

    Those in a window's books come first; the keys and starts are of these alone.
    """

    books: str
    units: str
    budget_keys: list[int]
    window_starts_ms: list[int]
    amounts: list[int]


def window_sums(operation: Operation) -> dict[WindowKey, WindowSum]:
    """Return what an operation added to each window and lot, all in all."""
    sums: dict[WindowKey, WindowSum] = {}
    for (budget_key, start_ms, unit), reserved, committed, refunded in operation.deltas:
        name = (budget_key, start_ms)
        before = sums.get(name)
        if before is None:
            sums[name] = (unit, reserved, committed, refunded)
        else:
            sums[name] = (unit, before[1] + reserved, before[2] + committed, before[3] + refunded)
    return sums


def posting_of(operation: Operation, sums: Mapping[WindowKey, WindowSum]) -> Posting:
    """Return the entries of an operation, whose `window_sums` are given; none of them is zero."""
    books = units = ""
    keys: list[int] = []
    starts: list[int] = []
    amounts: list[int] = []
    for (budget_key, start_ms), (unit, reserved, committed, refunded) in sums.items():
        first = len(amounts)
        available = refunded - reserved - committed
        if reserved:
            books += "R"
            amounts.append(reserved)
        if committed:
            books += "C"
            amounts.append(committed)
        if refunded:
            books += "F"
            amounts.append(-refunded)
        if available:
            books += "A"
            amounts.append(available)
        count = len(amounts) - first
        units += unit[0] * count
        keys += [budget_key] * count
        starts += [start_ms] * count
        assert sum(amounts[first:]) == 0, f"unbalanced window {budget_key}:{start_ms}"
    for unit, entries in _account_entries(operation):
        written = [(book, amount) for book, amount in entries if amount]
        assert sum(amount for _, amount in written) == 0, f"unbalanced entries in {unit}"
        units += unit[0] * len(written)
        for book, amount in written:
            books += book
            amounts.append(amount)
    return Posting(books, units, keys, starts, amounts)


def _account_entries(operation: Operation) -> Iterator[tuple[Unit, _Entries]]:
    for unit, actual, charged, refunded in operation.moves:
        yield (
            unit,
            (
                ("P", -actual),
                ("H", charged - refunded),
                ("B", actual - charged + refunded),
            ),
        )
    if operation.grant is not None or operation.restored:
        for unit, amount in _granted(operation):
            yield unit, (("I", -amount), ("G", amount))


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
