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
what was ISSUED. What the cache has served charges nothing: its one entry is 0 in CHARGED, so that
it is listed with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.operations import CACHE_KINDS, Kind, Operation


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
_Entries = tuple[tuple[str, int], ...]
"""The letters of books with amounts."""


Counts = tuple[int, int, int]
"""What was added to the reserved, committed and refunded of a window or lot."""


class Posting(NamedTuple):
    """The entries of an operation as columns: a letter for each book and unit, and each amount.

    Those in a window's books come first; the keys and starts are of these alone.
    """

    books: str
    units: str
    budget_keys: list[int]
    window_starts_ms: list[int]
    amounts: list[int]


def window_sums(operation: Operation) -> dict[WindowRef, Counts]:
    """Return what an operation added to each window and lot, all in all."""
    sums: dict[WindowRef, Counts] = {}
    for ref, reserved, committed, refunded in operation.deltas:
        if ref in sums:
            before = sums[ref]
            sums[ref] = (before[0] + reserved, before[1] + committed, before[2] + refunded)
        else:
            sums[ref] = (reserved, committed, refunded)
    return sums


def posting_of(operation: Operation, sums: Mapping[WindowRef, Counts]) -> Posting:
    """Return the entries of an operation, whose `window_sums` are given; only the cache's are 0."""
    books = units = ""
    keys: list[int] = []
    starts: list[int] = []
    amounts: list[int] = []
    before: Counts | None = None
    letters, added = "", list[int]()
    for (budget_key, start_ms, unit), counts in sums.items():
        if counts != before:  # Most operations add the same to all windows.
            letters, added = _window_entries(*counts)
            before = counts
        books += letters
        amounts += added
        count = len(added)
        units += unit[0] * count
        keys += [budget_key] * count
        starts += [start_ms] * count
    for unit, entries in _account_entries(operation):
        written = [(book, amount) for book, amount in entries if amount]
        assert sum(amount for _, amount in written) == 0, f"unbalanced entries in {unit}"
        units += unit[0] * len(written)
        for book, amount in written:
            books += book
            amounts.append(amount)
    if operation.kind in CACHE_KINDS:
        return Posting("H", Unit.USD[0], [], [], [0])
    return Posting(books, units, keys, starts, amounts)


def _window_entries(reserved: int, committed: int, refunded: int) -> tuple[str, list[int]]:
    """Return the letters of a window's books, and what is written in each; nothing is zero."""
    letters = ""
    amounts = []
    if reserved:
        letters += "R"
        amounts.append(reserved)
    if committed:
        letters += "C"
        amounts.append(committed)
    if refunded:
        letters += "F"
        amounts.append(-refunded)
    if available := refunded - reserved - committed:
        letters += "A"
        amounts.append(available)
    assert sum(amounts) == 0, "unbalanced window"
    return letters, amounts


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
