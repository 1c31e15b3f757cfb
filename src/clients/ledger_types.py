"""The ledger as callers see it. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.amounts import Unit


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One immutable row of the books; the entries of an operation sum to zero in each unit.

    `sequence` is the tenant's number for the operation, `line` the entry's place in it. `kind` is
    the verb, such as `COMMIT`, and `book` what the amount entered, or left if it is below 0.
    """

    operation_id: str
    line: int
    sequence: int
    kind: str
    account: str
    reservation_id: str
    book: str
    budget: str
    grant_id: str
    window_start_time: datetime | None
    unit: Unit
    amount: int
    idempotency_key: str
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """How many tenants' hot state was made anew at once, and the epoch that they serve in."""

    tenant_count: int
    epoch: int
