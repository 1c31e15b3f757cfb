"""Accounts and budgets in Postgres: each change raises the policy's version and is recorded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.accounts import AccountChange, AccountFilter, BudgetChange, check_place
from authority.domain.budgets import (
    ACCOUNT_DEPTH_MAX,
    BUDGETS_PER_ACCOUNT_MAX,
    Account,
    AccountState,
    Budget,
    Enforcement,
    OveragePolicy,
)
from authority.domain.callers import Cause
from authority.domain.changes import Change, make_change
from authority.domain.errors import AlreadyExists, InvalidRequest, NotFound
from authority.domain.ids import PLATFORM, tenant_of
from authority.domain.money import Unit
from authority.domain.own_budgets import own_budget
from authority.domain.plans import Plan
from authority.domain.windows import Window
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.plans import assign, find_plan, lock_plans
from authority.ledger.queries import statements

_FILE = "accounts.sql"


class Changing:
    """A transaction that changes a tenant's policy, alone: others wait until it ends."""

    def __init__(self, connection: AsyncConnection[DictRow], version: int) -> None:
        self.version = version
        self.connection = connection

    async def rows(self, name: str, parameters: Mapping[str, Any]) -> list[DictRow]:
        """Run a named statement and return its rows."""
        cursor = await self.connection.execute(statements(_FILE)[name], parameters)
        return await cursor.fetchall()

    async def account(self, account: str) -> Account:
        """Return an account. Raises NotFound."""
        found = await self.rows("find_account", {"account": account})
        if not found:
            raise NotFound("account", account)
        return account_of(found[0])

    async def check_place(self, account: Account) -> None:
        """Raise NotFound or InvalidRequest unless the account may stand below its parent."""
        if account.parent == PLATFORM:
            return
        wanted = {"account": account.account, "parent": account.parent}
        (place,) = await self.rows("read_place", wanted | {"depth_max": ACCOUNT_DEPTH_MAX})
        if not place["above"]:
            raise NotFound("account", account.parent)
        check_place(account.account, place["above"], place["height"])

    async def record(self, change: Change) -> None:
        """Write the record of a change, unless it changes nothing."""
        if change.before != change.after:
            await write_change(self.connection, change)

    async def add_budget(self, budget: Budget, cause: Cause, method: str) -> Budget:
        """Add a budget, and record it. Raises AlreadyExists, InvalidRequest (too many)."""
        made = await self.rows("insert_budget", _budget_row(budget))
        if not made:
            raise AlreadyExists("budget", f"{budget.account} {budget.budget}")
        (counted,) = await self.rows("count_budgets", {"account": budget.account})
        if counted["count"] > BUDGETS_PER_ACCOUNT_MAX:
            raise InvalidRequest.of(
                "budget.account", f"an account may have at most {BUDGETS_PER_ACCOUNT_MAX} budgets"
            )
        after = budget_of(made[0])
        await self.record(make_change(method, cause, None, after, after.create_time))
        return after

    async def plan(self, account: str) -> Plan | None:
        """Return an account's plan. Raises NotFound (the account)."""
        name = (await self.account(account)).plan
        return await find_plan(self.connection, name) if name else None

    async def assign_plan(self, account: Account, change_time: datetime) -> None:
        """Give an account what its plan says. Raises NotFound and InvalidRequest."""
        await assign(self.connection, account.account, account.plan, change_time)


class AccountStore:
    """The part of `domain.ports.Ledger` that is about accounts and budgets."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @asynccontextmanager
    async def _changing(
        self, account: str, *, is_new_tenant: bool = False, plans: bool = False
    ) -> AsyncIterator[Changing]:
        """Begin to change the policy of an account's tenant. Raises NotFound."""
        tenant = {"tenant": tenant_of(account)}
        async with self.database.transaction() as connection:
            if plans:
                await lock_plans(connection)
            if is_new_tenant:
                await connection.execute(statements(_FILE)["insert_tenant"], tenant)
            # Also locks the tenant, so that what is read from here on stays as it is.
            cursor = await connection.execute(statements()["raise_policy_version"], tenant)
            head = await cursor.fetchone()
            if head is None:
                raise NotFound("account", account)
            yield Changing(connection, head["policy_version"])

    async def insert_account(self, account: Account, cause: Cause) -> int:
        """Add an account and return the new policy version.

        Raises NotFound and InvalidRequest (the parent or the plan), AlreadyExists.
        """
        is_new_tenant = account.parent == PLATFORM
        place = account.account if is_new_tenant else account.parent
        plans = bool(account.plan)
        async with self._changing(place, is_new_tenant=is_new_tenant, plans=plans) as changing:
            await changing.check_place(account)
            if not await changing.rows("insert_account", _account_row(account)):
                raise AlreadyExists("account", account.account)
            if account.plan:
                await changing.assign_plan(account, account.create_time)
            change = make_change("CreateAccount", cause, None, account, account.create_time)
            await changing.record(change)
        return changing.version

    async def update_account(
        self, account: str, change: AccountChange, cause: Cause, change_time: datetime
    ) -> tuple[Account, int]:
        """Change an account; return it and the policy version.

        Raises NotFound (the account, the parent or the plan) and InvalidRequest.
        """
        async with self._changing(account, plans=change.plan is not None) as changing:
            before = await changing.account(account)
            after = change.apply(before, change_time)
            if after.parent != before.parent:
                await changing.check_place(after)
            await changing.rows("update_account", _account_row(after))
            if after.plan != before.plan:
                await changing.assign_plan(after, change_time)
            await changing.record(make_change("UpdateAccount", cause, before, after, change_time))
        return after, changing.version

    async def ended_accounts(self, now_ms: int, set_aside: Sequence[str], limit: int) -> list[str]:
        """Return accounts whose end has come and that are not closed yet."""
        parameters = {"now_ms": now_ms, "set_aside": list(set_aside), "limit": limit}
        rows = await self.database.rows(statements(_FILE)["ended_accounts"], parameters)
        return [row["account"] for row in rows]

    async def insert_budget(self, budget: Budget, cause: Cause) -> tuple[Budget, int]:
        """Add a budget; return it with its key, and the policy version.

        Raises NotFound (the account), AlreadyExists, and InvalidRequest if there are too many.
        """
        async with self._changing(budget.account) as changing:
            await changing.account(budget.account)
            after = await changing.add_budget(budget, cause, "CreateBudget")
        return after, changing.version

    async def update_budget(
        self, account: str, budget: str, change: BudgetChange, cause: Cause, change_time: datetime
    ) -> tuple[Budget, int]:
        """Change a budget; return it and the policy version. Raises NotFound, InvalidRequest."""
        async with self._changing(account) as changing:
            found = await changing.rows("find_budget", {"account": account, "budget": budget})
            if not found:
                raise NotFound("budget", f"{account} {budget}")
            before = budget_of(found[0])
            after = change.apply(before, change_time)
            await changing.rows("update_budget", _budget_row(after))
            await changing.record(make_change("UpdateBudget", cause, before, after, change_time))
        return after, changing.version

    async def set_own_budget(
        self, account: str, limit: int | None, cause: Cause, change_time: datetime
    ) -> tuple[Budget, int]:
        """Make or change a user's own monthly budget; None is for the default limit.

        Return it and the policy version. Raises NotFound and InvalidRequest.
        """
        # The plan stays as it is, and the account's as well, until the limit is kept to it.
        async with self._changing(account, plans=True) as changing:
            wanted = own_budget(account, await changing.plan(account), limit, change_time)
            named = {"account": account, "budget": wanted.budget}
            found = await changing.rows("find_budget", named)
            if not found:
                return await changing.add_budget(wanted, cause, "SetOwnBudget"), changing.version
            before = budget_of(found[0])
            after = BudgetChange(limit=wanted.limit).apply(before, change_time)
            await changing.rows("update_budget", _budget_row(after))
            await changing.record(make_change("SetOwnBudget", cause, before, after, change_time))
        return after, changing.version

    async def list_accounts(
        self, wanted: AccountFilter, after: str, limit: int, *, descending: bool
    ) -> list[Account]:
        """Return a page of accounts in the order of their ids, or the other way round."""
        parameters = {**wanted._asdict(), "state": wanted.state or "", "after": after}
        name = "list_accounts_back" if descending else "list_accounts"
        rows = await self.database.rows(statements(_FILE)[name], {**parameters, "limit": limit})
        return [account_of(row) for row in rows]

    async def list_budgets(
        self, tenant: str, account: str, unit: Unit | None, after: tuple[str, str], limit: int
    ) -> list[Budget]:
        """Return a page of budgets by account and id; '' and None are for any."""
        parameters = {
            "tenant": tenant,
            "account": account,
            "unit": unit or "",
            "account_after": after[0],
            "budget_after": after[1],
            "limit": limit,
        }
        rows = await self.database.rows(statements(_FILE)["list_budgets"], parameters)
        return [budget_of(row) for row in rows]


def account_of(row: DictRow) -> Account:
    """Return the account in a row."""
    return Account(
        row["account"],
        row["parent"],
        row["display_name"],
        row["time_zone"],
        AccountState(row["state"]),
        OveragePolicy(row["overage_policy"]),
        row["create_time"],
        {Unit(unit): int(amount) for unit, amount in row["per_request_limits"].items()},
        row["reserves_per_minute"],
        row["plan"],
        row["end_ms"],
        row["freeze_end_ms"],
        row["submissions_per_minute"],
    )


def budget_of(row: DictRow) -> Budget:
    """Return the budget in a row."""
    return Budget(
        row["budget_key"],
        row["account"],
        row["budget"],
        Unit(row["unit"]),
        Window(row["window"]),
        row["limit_amount"],
        Enforcement(row["enforcement"]),
        row["create_time"],
        row["update_time"],
        tuple(row["alert_thresholds"]),
    )


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "account": account.account,
        "freeze_end_ms": account.freeze_end_ms,
        "tenant": tenant_of(account.account),
        "parent": account.parent,
        "display_name": account.display_name,
        "time_zone": account.time_zone,
        "state": account.state,
        "overage_policy": account.overage_policy,
        "create_time": account.create_time,
        "per_request_limits": json.dumps(dict(account.per_request_limits)),
        "reserves_per_minute": account.reserves_per_minute,
        "plan": account.plan,
        "end_ms": account.end_ms,
        "submissions_per_minute": account.submissions_per_minute,
    }


def _budget_row(budget: Budget) -> dict[str, Any]:
    return {
        "account": budget.account,
        "budget": budget.budget,
        "unit": budget.unit,
        "window": budget.window,
        "limit": budget.limit,
        "enforcement": budget.enforcement,
        "alert_thresholds": list(budget.alert_thresholds),
        "create_time": budget.create_time,
        "update_time": budget.update_time,
    }
