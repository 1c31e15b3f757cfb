"""The ledger's past: entries, reservations, and what was counted at an earlier time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from psycopg.rows import DictRow

from authority.domain.budgets import Budget, Enforcement, WindowRef
from authority.domain.entries import Book
from authority.domain.grants import Grant
from authority.domain.history import CacheUse, EntryFilter, EntryRow
from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.domain.operations import Kind
from authority.domain.ports import WindowCounts
from authority.domain.reservations import Reservation, ReservationState
from authority.ledger.database import Database
from authority.ledger.queries import statements
from authority.ledger.store import grant_of, reservation_of, window_counts, window_ref

_LAST = 2**63 - 1  # sorts behind every sequence and time


class PostgresHistory:
    """Implements `domain.history.History`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("history.sql")

    async def entries(
        self,
        accounts: Sequence[str],
        wanted: EntryFilter,
        after: tuple[int, int] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[EntryRow]:
        """Return a page of entries of accounts of one tenant, behind a sequence and line."""
        sequence, line = after or (_LAST if latest_first else -1, -1)
        parameters = {
            "tenant": tenant_of(accounts[0]),
            "accounts": accounts,
            **wanted._asdict(),
            "sequence": sequence,
            "line": line,
            "limit": limit,
        }
        rows = await self._page("entries", parameters, latest_first=latest_first)
        return [_entry(row) for row in rows]

    async def reservations(
        self,
        accounts: Sequence[str],
        state: ReservationState | None,
        after: tuple[int, str] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[Reservation]:
        """Return a page of reservations of accounts, behind a creation in ms and an id."""
        create_ms, reservation_id = after or (_LAST if latest_first else -1, "")
        parameters = {
            "accounts": accounts,
            "state": state or "",
            "create_ms": create_ms,
            "reservation_id": reservation_id,
            "limit": limit,
        }
        rows = await self._page("reservations", parameters, latest_first=latest_first)
        return [reservation_of(row) for row in rows]

    async def _page(
        self, listing: str, parameters: dict[str, Any], *, latest_first: bool
    ) -> list[DictRow]:
        tail = f"{listing}_back" if latest_first else f"{listing}_onward"
        return await self._database.rows(self._sql[listing] + "\n" + self._sql[tail], parameters)

    async def counts_at(
        self, tenant: str, refs: Iterable[WindowRef], moment_ms: int
    ) -> dict[WindowRef, WindowCounts]:
        """Return what windows and lots of a tenant counted at the end of a millisecond."""
        wanted = list(refs)
        rows = await self._database.rows(
            self._sql["counts_at"],
            {
                "tenant": tenant,
                "budget_key": [ref.budget_key for ref in wanted],
                "window_start_ms": [ref.start_ms for ref in wanted],
                "unit": [ref.unit for ref in wanted],
                "moment_ms": moment_ms,
            },
        )
        return {window_ref(row): window_counts(row) for row in rows}

    async def budgets_at(self, budgets: Iterable[Budget], moment_ms: int) -> list[Budget]:
        """Return budgets with the limit and enforcement that they had then."""
        now = {f"{budget.account} {budget.budget}": budget for budget in budgets}
        parameters = {"resources": list(now), "moment_ms": moment_ms}
        rows = await self._database.rows(self._sql["budgets_at"], parameters)
        changed = {row["resource"]: row["before"] for row in rows}
        return [
            replace(
                budget,
                limit=changed[name]["limit"],
                enforcement=Enforcement(changed[name]["enforcement"]),
            )
            if name in changed
            else budget
            for name, budget in now.items()
        ]

    async def grants_at(self, accounts: Sequence[str], moment_ms: int) -> list[Grant]:
        """Return the grants that accounts had been given by then, as they were then."""
        rows = await self._database.rows(
            self._sql["grants_at"], {"accounts": accounts, "moment_ms": moment_ms}
        )
        return [_at(grant_of(row), moment_ms) for row in rows]


def _at(grant: Grant, moment_ms: int) -> Grant:
    return replace(grant, void_ms=0) if grant.void_ms > moment_ms else grant


def _entry(row: DictRow) -> EntryRow:
    typed = {"kind": Kind(row["kind"]), "book": Book(row["book"]), "unit": Unit(row["unit"])}
    asked = row["cache_use"]
    use = None if asked is None else CacheUse(**{name: asked[name] for name in CacheUse._fields})
    return EntryRow(**{**row, **typed, "cache_use": use})
