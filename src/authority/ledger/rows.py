"""What operations do to the ledger's tables, as the columns that its statements take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from authority.domain.budgets import WindowRef
from authority.domain.entries import Counts, posting_of, window_sums
from authority.domain.operations import Operation
from authority.domain.reservations import Reservation
from authority.ledger.arrays import (
    Column,
    bigints,
    booleans,
    jsonbs,
    optional_texts,
    smallints,
    texts,
    timestamps,
    uuids,
    words,
)

Columns = dict[str, Column]
Parameters = Mapping[str, Column | int | None]
Sums = Mapping[WindowRef, Counts]


def all_columns(ordered: Sequence[Operation], *, fence: int | None = None) -> Parameters:
    """Return what `write_operations` takes.

    Args:
        ordered: operations in the order of their places, of each tenant without a gap.
        fence: the epoch that must be the present one. None where the transaction has locked the
            ledger and seen that they follow: then nothing is looked at again.

    """
    firsts: dict[str, Operation] = {}
    if fence is not None:
        for item in ordered:
            firsts.setdefault(item.tenant, item)
    sums = [window_sums(item) for item in ordered]
    return {
        "fence": fence,
        "tenants": texts(list(firsts)),
        "first_sequences": bigints([item.sequence for item in firsts.values()]),
        **operation_columns(ordered, sums),
        **reservation_columns(ordered),
        **window_columns(ordered, sums),
    }


def operation_columns(operations: Sequence[Operation], sums: Iterable[Sums]) -> Columns:
    """Return the rows of operations, given their window sums, and of their entries."""
    postings = [posting_of(*pair) for pair in zip(operations, sums, strict=True)]
    keys: list[int] = []
    starts: list[int] = []
    amounts: list[int] = []
    key_ends = []
    amount_ends = []
    for posting in postings:
        keys += posting.budget_keys
        starts += posting.window_starts_ms
        amounts += posting.amounts
        key_ends.append(len(keys))
        amount_ends.append(len(amounts))
    of = _by_field(operations)
    return {
        "operation_id": uuids(of["operation_id"]),
        "tenant": words(of["tenant"]),
        "sequence": bigints(of["sequence"]),
        "epoch": bigints(of["epoch"]),
        "kind": words(of["kind"]),
        "outcome": words(["DENIED" if denied else "DONE" for denied in of["denied"]]),
        "idempotency_key": optional_texts(of["idempotency_key"]),
        "account": words([item.account for item in operations]),
        "reservation_id": optional_texts(
            [None if held is None else held.reservation_id for held in of["reservation"]]
        ),
        "request": texts(of["request"]),
        "result": texts(of["result"]),
        "create_time": timestamps(of["decide_ms"]),
        "books": words([posting.books for posting in postings]),
        "units": words([posting.units for posting in postings]),
        "key_end": bigints(key_ends),
        "key_count": bigints([len(posting.budget_keys) for posting in postings]),
        "amount_end": bigints(amount_ends),
        "entry_key": bigints(keys),
        "entry_start_ms": bigints(starts),
        "entry_amount": bigints(amounts),
    }


def reservation_columns(operations: Iterable[Operation]) -> Columns:
    """Return the rows of reservations, as the last of the operations has left each."""
    latest: dict[str, tuple[Operation, Reservation]] = {}
    for item in operations:
        held = item.reservation
        if held is not None:
            before = latest.get(held.reservation_id)
            if before is None or before[0].sequence < item.sequence:
                latest[held.reservation_id] = (item, held)
    ids = sorted(latest)
    rows = [latest[reservation_id] for reservation_id in ids]
    of = _by_field([held for _, held in rows])
    return {
        "held_id": texts(ids),
        "held_tenant": words([item.tenant for item, _ in rows]),
        "held_account": words(of["account"]),
        "state": words(of["state"]),
        "held_sequence": bigints([item.sequence for item, _ in rows]),
        "legs": texts(of["legs_text"]),
        "windows": words(of["windows_text"]),
        "option_index": smallints(of["option_index"]),
        "late": booleans(of["late"]),
        "labels": jsonbs(of["labels_text"]),
        "commit_key": texts(of["commit_key"]),
        "create_ms": bigints(of["create_ms"]),
        "expire_ms": bigints(of["expire_ms"]),
        "settle_ms": bigints(of["settle_ms"]),
        "grants": texts(of["grants_text"]),
        "receipt": words(of["receipt"]),
    }


def window_columns(operations: Sequence[Operation], sums: Iterable[Sums]) -> Columns:
    """Return what all operations together added to each window's totals."""
    totals: dict[WindowRef, tuple[str, list[int]]] = {}
    for item, added in zip(operations, sums, strict=True):
        for ref, counts in added.items():
            if ref not in totals:
                totals[ref] = (item.tenant, list(counts))
            else:
                total = totals[ref][1]
                total[0] += counts[0]
                total[1] += counts[1]
                total[2] += counts[2]
    refs = sorted(totals)
    rows = [totals[ref] for ref in refs]
    return {
        "budget_key": bigints([ref.budget_key for ref in refs]),
        "window_start_ms": bigints([ref.start_ms for ref in refs]),
        "unit": words([ref.unit for ref in refs]),
        "window_tenant": words([tenant for tenant, _ in rows]),
        "reserved": bigints([counts[0] for _, counts in rows]),
        "committed": bigints([counts[1] for _, counts in rows]),
        "refunded": bigints([counts[2] for _, counts in rows]),
    }


def _by_field(rows: Sequence[Operation] | Sequence[Reservation]) -> Mapping[str, Sequence[Any]]:
    """Turn rows into columns by the names of their fields; every column is empty without rows."""
    if not rows:
        return defaultdict(tuple)
    return dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))
