"""Plans in Postgres, and what they make of the budgets of accounts.

Whoever changes a plan, or the plan of an account, holds the lock of plans and raises the policy
versions of the tenants concerned, in the same transaction. Grants are operations: they are made
after it, for the accounts that it marks as pending.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.alerts import DEFAULT_THRESHOLDS
from authority.domain.budgets import BUDGETS_PER_ACCOUNT_MAX, Enforcement
from authority.domain.callers import Cause
from authority.domain.changes import make_change
from authority.domain.errors import AlreadyExists, InvalidRequest, NotFound
from authority.domain.money import Unit
from authority.domain.plans import (
    AbusePolicy,
    Plan,
    PlanBudget,
    PlanChange,
    PlanGrant,
    PlanVersion,
)
from authority.domain.windows import Window
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.queries import statements

_SQL = statements("plans.sql")


class PlanStore:
    """The part of `domain.ports.Ledger` that is about plans."""

    database: Database

    async def insert_plan(self, plan: Plan, cause: Cause) -> None:
        """Add a plan, and record it. Raises AlreadyExists."""
        async with self.database.transaction() as connection:
            if not await _rows(connection, "insert_plan", _plan_row(plan)):
                raise AlreadyExists("plan", plan.plan)
            await connection.execute(_SQL["keep_version"], {"plan": plan.plan})
            change = make_change("CreatePlan", cause, None, plan, plan.create_time)
            await write_change(connection, change)

    async def update_plan(
        self, name: str, change: PlanChange, cause: Cause, change_time: datetime
    ) -> tuple[Plan, list[str], dict[str, int]]:
        """Change a plan and the budgets of all accounts that have it, and record it.

        Return the plan, the accounts, and the policy versions of their tenants.
        Raises NotFound, and InvalidRequest if an account would have too many budgets.
        """
        async with self.database.transaction() as connection:
            await connection.execute(_SQL["lock_plans"])
            before = await find_plan(connection, name)
            after = change.apply(before, change_time)
            if after is before:
                return before, [], {}
            having = await _rows(connection, "accounts_of_plan", {"plan": name})
            accounts = [row["account"] for row in having]
            tenants = {"tenants": sorted({row["tenant"] for row in having})}
            raised = await _rows(connection, "raise_versions_of", tenants)
            await connection.execute(_SQL["update_plan"], _plan_row(after))
            await connection.execute(_SQL["keep_version"], {"plan": name})
            await put_budgets(connection, accounts, after, change_time, "plan.budgets")
            if after.grants != before.grants:
                await connection.execute(_SQL["set_pending"], {"accounts": accounts})
            recorded = make_change("UpdatePlan", cause, before, after, change_time)
            await write_change(connection, recorded)
        return after, accounts, {row["tenant"]: row["policy_version"] for row in raised}

    async def plan(self, name: str) -> Plan:
        """Return a plan. Raises NotFound."""
        async with self.database.connection() as connection:
            return await find_plan(connection, name)

    async def plan_version(self, name: str, version: int) -> Plan:
        """Return a plan as one of its versions was. Raises NotFound."""
        rows = await self.database.rows(_SQL["find_version"], {"plan": name, "version": version})
        if not rows:
            raise NotFound("plan", f"{name} version {version}")
        return plan_of(rows[0])

    async def list_plan_versions(self, name: str, before: int, limit: int) -> list[PlanVersion]:
        """Return a page of a plan's versions, the latest first: those before one; all for 0."""
        parameters = {"plan": name, "before": before, "limit": limit}
        rows = await self.database.rows(_SQL["list_versions"], parameters)
        return [PlanVersion(plan_of(row), Cause(row["actor"], row["reason"])) for row in rows]

    async def list_plans(self, after: str, limit: int) -> list[Plan]:
        """Return a page in the order of the ids."""
        rows = await self.database.rows(_SQL["list_plans"], {"after": after, "limit": limit})
        return [plan_of(row) for row in rows]

    async def pending_accounts(self, set_aside: Sequence[str], limit: int) -> list[str]:
        """Return accounts whose plan's grants are still to be made or voided."""
        rows = await self.database.rows(
            _SQL["pending_accounts"], {"set_aside": list(set_aside), "limit": limit}
        )
        return [row["account"] for row in rows]

    async def clear_pending(self, account: str, pending: int) -> bool:
        """Say that a change was carried out; False if another one has come since."""
        parameters = {"account": account, "pending": pending}
        return bool(await self.database.rows(_SQL["clear_pending"], parameters))


async def lock_plans(connection: AsyncConnection[DictRow]) -> None:
    """Keep all plans as they are until the transaction ends. To be done before all else."""
    await connection.execute(_SQL["lock_plans_shared"])


async def assign(
    connection: AsyncConnection[DictRow], account: str, name: str, change_time: datetime
) -> None:
    """Give an account the budgets of a plan, of none if it is '', and mark its grants as pending.

    Raises NotFound, and InvalidRequest if the account would have too many budgets.
    """
    plan = await find_plan(connection, name) if name else None
    await put_budgets(connection, [account], plan, change_time, "account.plan")
    await connection.execute(_SQL["set_pending"], {"accounts": [account]})


async def put_budgets(
    connection: AsyncConnection[DictRow],
    accounts: list[str],
    plan: Plan | None,
    change_time: datetime,
    field: str,
) -> None:
    """Make, change and end the budgets that accounts have of plans, to be those of one.

    Raises InvalidRequest, which names `field`, if an account would have too many budgets.
    """
    budgets = plan.budgets if plan else ()
    parameters = {
        "accounts": accounts,
        "change_time": change_time,
        "budget": [budget.budget for budget in budgets],
        "unit": [budget.unit for budget in budgets],
        "window": [budget.window for budget in budgets],
        "limit": [budget.limit for budget in budgets],
        "enforcement": [budget.enforcement for budget in budgets],
        # An array of arrays has to be rectangular: each list is a text.
        "alert_thresholds": [
            "{" + ",".join(map(str, budget.alert_thresholds)) + "}" for budget in budgets
        ],
    }
    await connection.execute(_SQL["end_budgets"], parameters)
    await connection.execute(_SQL["put_budgets"], parameters)
    most = {"accounts": accounts, "most": BUDGETS_PER_ACCOUNT_MAX}
    crowded = await _rows(connection, "too_many_budgets", most)
    if crowded:
        raise InvalidRequest.of(
            field,
            f"with it the account {crowded[0]['account']!r} would have more than "
            f"{BUDGETS_PER_ACCOUNT_MAX} budgets, its own and the plan's",
        )


async def find_plan(connection: AsyncConnection[DictRow], name: str) -> Plan:
    """Return a plan. Raises NotFound."""
    rows = await _rows(connection, "find_plan", {"plan": name})
    if not rows:
        raise NotFound("plan", name)
    return plan_of(rows[0])


def plan_of(row: DictRow) -> Plan:
    """Return the plan in a row."""
    return Plan(
        plan=row["plan"],
        budgets=tuple(
            PlanBudget(
                Unit(item["unit"]),
                Window(item["window"]),
                item["limit"],
                Enforcement(item["enforcement"]),
                tuple(item.get("alert_thresholds", DEFAULT_THRESHOLDS)),
            )
            for item in row["budgets"]
        ),
        grants=grants_of(row["grants"]),
        per_request_limits={
            Unit(unit): int(amount) for unit, amount in row["per_request_limits"].items()
        },
        reserves_per_minute=row["reserves_per_minute"],
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        tier=row["tier"],
        submissions_per_minute=row["submissions_per_minute"],
        abuse=AbusePolicy(**row["abuse"]),
    )


def grants_of(items: Sequence[dict[str, Any]]) -> tuple[PlanGrant, ...]:
    """Return the grants in a plan's column."""
    return tuple(
        PlanGrant(Unit(item["unit"]), item["amount"], item["priority"], Window(item["recurrence"]))
        for item in items
    )


def _plan_row(plan: Plan) -> dict[str, Any]:
    return {
        "plan": plan.plan,
        "budgets": json.dumps([budget._asdict() for budget in plan.budgets]),
        "grants": json.dumps([grant._asdict() for grant in plan.grants]),
        "per_request_limits": json.dumps(dict(plan.per_request_limits)),
        "reserves_per_minute": plan.reserves_per_minute,
        "tier": plan.tier,
        "submissions_per_minute": plan.submissions_per_minute,
        "abuse": json.dumps(plan.abuse._asdict()),
        "version": plan.version,
        "create_time": plan.create_time,
        "update_time": plan.update_time,
    }


async def _rows(
    connection: AsyncConnection[DictRow], name: str, parameters: dict[str, Any]
) -> list[DictRow]:
    cursor = await connection.execute(_SQL[name], parameters)
    return await cursor.fetchall()
