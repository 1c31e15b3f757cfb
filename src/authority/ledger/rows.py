"""What operations do to the ledger's tables, as the columns that its statements take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from authority.domain.entries import WindowKey, WindowSum, posting_of, window_sums
from authority.domain.operations import Operation
from authority.domain.reservations import Reservation
from authority.ledger.arrays import (
    Column,
    bigints,
    booleans,
    jsonbs,
    smallints,
    texts,
    timestamps,
    uuids,
)

Columns = dict[str, Column]
Parameters = Mapping[str, Column | int | None]
Sums = Mapping[WindowKey, WindowSum]


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
    return {
        "operation_id": uuids([item.operation_id for item in operations]),
        "tenant": texts([item.tenant for item in operations]),
        "sequence": bigints([item.sequence for item in operations]),
        "epoch": bigints([item.epoch for item in operations]),
        "kind": texts([item.kind for item in operations]),
        "outcome": texts(["DENIED" if item.denied else "DONE" for item in operations]),
        "idempotency_key": texts([item.idempotency_key for item in operations]),
        "account": texts([item.account for item in operations]),
        "reservation_id": texts(
            [
                None if item.reservation is None else item.reservation.reservation_id
                for item in operations
            ]
        ),
        "request": texts([item.request for item in operations]),
        "result": texts([item.result for item in operations]),
        "create_time": timestamps([item.decide_ms for item in operations]),
        "books": texts([posting.books for posting in postings]),
        "units": texts([posting.units for posting in postings]),
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
    items = [latest[reservation_id][0] for reservation_id in ids]
    rows = [latest[reservation_id][1] for reservation_id in ids]
    return {
        "held_id": texts(ids),
        "held_tenant": texts([item.tenant for item in items]),
        "held_account": texts([row.account for row in rows]),
        "state": texts([row.state for row in rows]),
        "held_sequence": bigints([item.sequence for item in items]),
        "legs": texts([row.legs_text for row in rows]),
        "windows": texts([row.windows_text for row in rows]),
        "option_index": smallints([row.option_index for row in rows]),
        "late": booleans([row.late for row in rows]),
        "labels": jsonbs([row.labels_text for row in rows]),
        "commit_key": texts([row.commit_key for row in rows]),
        "create_ms": bigints([row.create_ms for row in rows]),
        "expire_ms": bigints([row.expire_ms for row in rows]),
        "settle_ms": bigints([row.settle_ms for row in rows]),
        "grants": texts([row.grants_text for row in rows]),
        "receipt": texts([row.receipt for row in rows]),
    }


def window_columns(operations: Sequence[Operation], sums: Iterable[Sums]) -> Columns:
    """Return what all operations together added to each window's totals."""
    totals: dict[WindowKey, tuple[str, str, list[int]]] = {}
    for item, added in zip(operations, sums, strict=True):
        for name, (unit, reserved, committed, refunded) in added.items():
            if name not in totals:
                totals[name] = (unit, item.tenant, [reserved, committed, refunded])
            else:
                total = totals[name][2]
                total[0] += reserved
                total[1] += committed
                total[2] += refunded
    names = sorted(totals)
    rows = [totals[name] for name in names]
    return {
        "budget_key": bigints([name[0] for name in names]),
        "window_start_ms": bigints([name[1] for name in names]),
        "unit": texts([row[0] for row in rows]),
        "window_tenant": texts([row[1] for row in rows]),
        "reserved": bigints([row[2][0] for row in rows]),
        "committed": bigints([row[2][1] for row in rows]),
        "refunded": bigints([row[2][2] for row in rows]),
    }
