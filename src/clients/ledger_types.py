"""The ledger as callers see it. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.amounts import Unit


@dataclass(frozen=True, slots=True)
class CacheUse:
    """A generation that the cache has served, in the books. `stage` is as in Generation.cached.

    `saved` is micros of USD, below 0 in a reversal; `score_ppm` None where the two were the same.
    """

    generation_id: str
    entry_id: str
    stage: str
    score_ppm: int | None
    saved: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One immutable row of the books; the entries of an operation sum to zero in each unit.

    `sequence` is the tenant's number for the operation, `line` the entry's place in it. `kind` is
    the verb, such as `COMMIT`, and `book` what the amount entered, or left if it is below 0.
    `cache_use` is of the kinds `CACHE_HIT` and `CACHE_REVERSAL`, which charge 0.
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
    cache_use: CacheUse | None = None


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """How many tenants' hot state was made anew at once, and the epoch that they serve in."""

    tenant_count: int
    epoch: int
