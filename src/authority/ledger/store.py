"""The ledger in Postgres: accounts and budgets, and what was decided."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from authority.domain.budgets import Budget, WindowRef
from authority.domain.changes import Change, ChangeFilter
from authority.domain.grants import Grant
from authority.domain.money import Unit
from authority.domain.operations import Operation
from authority.domain.plans import PlanWork
from authority.domain.policies import KnownTerms, TenantPolicy
from authority.domain.ports import Clock, WindowCounts
from authority.domain.reservations import Reservation, ReservationState
from authority.domain.windows import Window
from authority.ledger.accounts import AccountStore, account_of, budget_of
from authority.ledger.changes import list_changes
from authority.ledger.database import Database
from authority.ledger.plans import PlanStore, grants_of, plan_of
from authority.ledger.prices import PriceStore
from authority.ledger.queries import statements

ZERO = WindowCounts(0, 0, 0)
# A late refund may still come for a grant that ended less than a month ago.
_ENDED_MS = 30 * 86_400_000
_ROWS_AT_ONCE = 500

_Item = TypeVar("_Item")


class LedgerStore(AccountStore, PlanStore, PriceStore):
    """Implements `domain.ports.Ledger`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database)
        self._clock = clock
        self._known_terms = KnownTerms()
        self._sql = statements()
        self._plan_sql = statements("plans.sql")
        self._lease_sql = statements("leases.sql")

    async def rows(self, name: str, **parameters: Any) -> list[DictRow]:
        """Run a named statement and return its rows."""
        return await self.database.rows(self._sql[name], parameters)

    async def find_operation(self, tenant: str, key: str) -> Operation | None:
        """Return the operation that first used the key."""
        rows = await self.rows("find_operation", tenant=tenant, key=key)
        return Operation.decode(rows[0]["request"], rows[0]["result"]) if rows else None

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """Return a reservation."""
        rows = await self.rows("read_reservation", reservation_id=reservation_id)
        return reservation_of(rows[0]) if rows else None

    async def window_counts(self, refs: Iterable[WindowRef]) -> dict[WindowRef, WindowCounts]:
        """Return the counts of the windows, zero for those that were never used."""
        wanted = list(refs)
        rows = await self.rows(
            "read_window_totals",
            budget_key=[ref.budget_key for ref in wanted],
            window_start_ms=[ref.start_ms for ref in wanted],
        )
        found = {window_ref(row): window_counts(row) for row in rows}
        return {ref: found.get(ref, ZERO) for ref in wanted}

    async def platform_counts(self, refs: Sequence[WindowRef]) -> dict[WindowRef, WindowCounts]:
        """Return what all tenants together count of the platform's budgets."""
        places = {
            "budget_key": [ref.budget_key for ref in refs],
            "start_ms": [ref.start_ms for ref in refs],
        }
        rows = await self.database.rows(self._lease_sql["platform_counts"], places)
        found = {row["budget_key"]: window_counts(row) for row in rows}
        return {ref: found.get(ref.budget_key, ZERO) for ref in refs}

    async def policy(self, tenant: str) -> TenantPolicy | None:
        """Return the tenant's accounts and budgets; None if there is no such tenant."""
        policy = await self._read_policy(tenant)
        while policy is not None and any(not share.key for share in policy.shares):
            # The platform has a budget that this tenant does not count yet.
            async with self.database.connection() as connection:
                await connection.execute(self._lease_sql["make_shares"], {"tenant": tenant})
            policy = await self._read_policy(tenant)
        return policy

    async def _read_policy(self, tenant: str) -> TenantPolicy | None:
        parameters, now_ms = {"tenant": tenant}, self._clock.now_ms()
        times = {"now_ms": now_ms, "ended_ms": now_ms - _ENDED_MS}
        async with self.database.transaction() as connection:
            read = connection.execute
            # One snapshot: the version must be that of the rows.
            await read("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            head = await (await read(self._sql["read_tenant"], parameters)).fetchone()
            of_accounts = await read(self._sql["read_accounts"], parameters)
            of_budgets = await read(self._sql["read_budgets"], parameters)
            of_shares = await read(self._lease_sql["read_shares"], parameters)
            of_plans = await read(self._plan_sql["plans_of_tenant"], parameters)
            of_grants = await read(self._sql["read_grants"], parameters | times)
            of_prepaid = await read(self._sql["read_prepaid_units"], parameters)
        if head is None:
            return None
        # The rows are here: what is made of them, while others are served, keeps nothing open.
        accounts = [account_of(row) async for row in _a_few_at_a_time(of_accounts)]
        budgets: list[Budget] = []
        ended: list[Budget] = []
        async for row in _a_few_at_a_time(of_budgets):
            (ended if row["end_time"] else budgets).append(budget_of(row))
        shares: list[Budget] = []
        for row in await of_shares.fetchall():
            share = replace(budget_of(row), key=row["share_key"] or 0)
            if share.key or not row["end_time"]:
                (ended if row["end_time"] else shares).append(share)
        plans = [plan_of(row) for row in await of_plans.fetchall()]
        grants = [grant_of(row) async for row in _a_few_at_a_time(of_grants)]
        prepaid = [
            (row["account"], Unit(row["unit"])) async for row in _a_few_at_a_time(of_prepaid)
        ]
        return TenantPolicy(
            tenant,
            head["policy_version"],
            {account.account: account for account in accounts},
            _grouped((budget.account, budget) for budget in budgets),
            _grouped((grant.account, grant) for grant in grants),
            {account: frozenset(units) for account, units in _grouped(prepaid).items()},
            tuple(ended),
            tuple(shares),
            {plan.plan: plan for plan in plans},
            self._known_terms,
        )

    async def policy_version(self, tenant: str) -> int:
        """Return the version of the tenant's policy; 0 if there is no such tenant."""
        rows = await self.rows("read_tenant", tenant=tenant)
        return int(rows[0]["policy_version"]) if rows else 0

    async def raise_policy_version(self, tenant: str) -> int:
        """Make all cached policies of the tenant stale; return the new version."""
        rows = await self.rows("raise_policy_version", tenant=tenant)
        return int(rows[0]["policy_version"])

    async def grant(self, grant_id: str) -> Grant | None:
        """Return a grant, whatever its state."""
        rows = await self.rows("read_grant", grant_id=grant_id)
        return grant_of(rows[0]) if rows else None

    async def list_grants(
        self, account: str, unit: Unit | None, before: str, limit: int
    ) -> list[Grant]:
        """Return a page of an account's grants, the latest first, of those before an id."""
        rows = await self.rows(
            "list_grants", account=account, unit=unit or "", before=before, limit=limit
        )
        return [grant_of(row) for row in rows]

    async def plan_work(self, account: str) -> PlanWork:
        """Return what is to be granted and voided for the plan of an account that exists."""
        async with self.database.transaction() as connection:
            # One snapshot: the grants must be those of the plan that the account has.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            parameters = {"account": account}
            cursor = await connection.execute(self._plan_sql["plan_of_account"], parameters)
            (row,) = await cursor.fetchall()
            cursor = await connection.execute(self._plan_sql["granted_by_plans"], parameters)
            given = tuple(grant_of(grant) for grant in await cursor.fetchall())
        return PlanWork(row["plan"], row["plan_pending"], grants_of(row["grants"]), given)

    async def list_changes(self, wanted: ChangeFilter, before: int, limit: int) -> list[Change]:
        """Return a page of changes, the latest first: of those before a number; of all for 0."""
        return await list_changes(self.database, wanted, before, limit)

    async def due_reservations(
        self, now_ms: int, limit: int, set_aside: Sequence[str]
    ) -> list[str]:
        """Return open reservations whose time has passed, the longest overdue first."""
        rows = await self.rows(
            "due_reservations", now_ms=now_ms, limit=limit, set_aside=list(set_aside)
        )
        return [row["reservation_id"] for row in rows]

    async def opened_tenants(self) -> list[str]:
        """Return the tenants whose hot state was ever opened."""
        return [row["tenant"] for row in await self.rows("opened_tenants")]

    async def some_opened_tenants(self, after: str, least: int) -> list[str]:
        """Return the next of them behind one: a tenth of all, and `least` or more if there are."""
        rows = await self.rows("some_opened_tenants", after=after, least=least)
        return [row["tenant"] for row in rows]

    async def present_policy_versions(self) -> Sequence[tuple[str, int]]:
        """Return the tenants that are open in the present epoch, with their policy's version."""
        rows = await self.rows("present_policy_versions")
        return [(row["tenant"], row["policy_version"]) for row in rows]

    async def recent_policy_versions(self) -> Sequence[tuple[str, int]]:
        """Return the tenants whose policy was changed within the last minute, with its version."""
        rows = await self.rows("recent_policy_versions")
        return [(row["tenant"], row["policy_version"]) for row in rows]


def window_ref(row: DictRow) -> WindowRef:
    """Return the window that a row is about."""
    return WindowRef(row["budget_key"], row["window_start_ms"], Unit(row["unit"]))


def window_counts(row: DictRow) -> WindowCounts:
    """Return the three counts in a row."""
    return WindowCounts(row["reserved"], row["committed"], row["refunded"])


def reservation_of(row: DictRow) -> Reservation:
    """Return the reservation in a row."""
    return Reservation(
        reservation_id=row["reservation_id"],
        account=row["account"],
        state=ReservationState(row["state"]),
        option_index=row["option_index"],
        late=row["late"],
        create_ms=row["create_ms"],
        expire_ms=row["expire_ms"],
        settle_ms=row["settle_ms"],
        legs_text=row["legs"],
        windows_text=row["windows"],
        grants_text=row["grants"],
        labels_text=json.dumps(row["labels"], ensure_ascii=False, separators=(",", ":")),
        commit_key=row["commit_key"],
        receipt=row["receipt"],
    )


def grant_of(row: DictRow) -> Grant:
    """Return the grant in a row."""
    return Grant(
        grant_id=row["grant_id"],
        key=row["grant_key"],
        account=row["account"],
        unit=Unit(row["unit"]),
        amount=row["amount"],
        priority=row["priority"],
        effective_ms=row["effective_ms"],
        expire_ms=row["expire_ms"],
        recurrence=Window(row["recurrence"]),
        refund_grace_ms=row["refund_grace_ms"],
        source=row["source"],
        create_ms=row["create_ms"],
        void_ms=row["void_ms"],
        price_micros=row["price_micros"],
    )


async def _a_few_at_a_time(cursor: AsyncCursor[DictRow]) -> AsyncIterator[DictRow]:
    """Yield rows, and let others be served meanwhile: a tenant may have very many."""
    while rows := await cursor.fetchmany(_ROWS_AT_ONCE):
        for row in rows:
            yield row
        if len(rows) == _ROWS_AT_ONCE:
            await asyncio.sleep(0)


def _grouped(pairs: Iterable[tuple[str, _Item]]) -> dict[str, tuple[_Item, ...]]:
    groups: dict[str, tuple[_Item, ...]] = {}
    for name, item in pairs:
        groups[name] = (*groups.get(name, ()), item)
    return groups
