"""The terms that a past is replayed under: an account's own, or those of another plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from authority.domain.budgets import AccountState, Budget, Enforcement, WindowRef
from authority.domain.grants import Grant
from authority.domain.plans import BUDGET_PREFIX, SOURCE_PREFIX, Plan
from authority.domain.policies import TenantPolicy
from authority.domain.windows import Window, window_at


def as_it_is(policy: TenantPolicy, account: str, grants: Sequence[Grant]) -> TenantPolicy:
    """Return a policy by which an account and those below it are replayed.

    `grants` are all that they were ever given. Those of others are left out, and budgets above deny
    nothing: what else was spent of them is not known here. Nobody is frozen or closed, which may be
    of today alone.
    """
    own = set(policy.below(account))
    accounts = {
        name: replace(node, state=AccountState.ACTIVE, end_ms=0, freeze_end_ms=0)
        for name, node in policy.accounts.items()
    }
    return TenantPolicy(
        tenant=policy.tenant,
        version=policy.version,
        accounts=accounts,
        budgets={
            name: budgets if name in own else tuple(map(_that_only_counts, budgets))
            for name, budgets in policy.budgets.items()
        },
        grants=_by_account(grants),
        prepaid={name: units for name, units in policy.prepaid.items() if name in own},
        shares=tuple(map(_that_only_counts, policy.shares)),
        plans=policy.plans,
    )


def under_plan(
    policy: TenantPolicy, account: str, grants: Sequence[Grant], plan: Plan, start_ms: int
) -> TenantPolicy:
    """Return the same as if the account had had another plan since a time.

    What it has besides its plan stays: its own budgets, grants and limits.
    """
    others = [
        grant
        for grant in grants
        if grant.account != account or not grant.source.startswith(SOURCE_PREFIX)
    ]
    made = [
        Grant(
            grant_id=f"{account}/{place}",
            key=-1 - place,
            account=account,
            unit=terms.unit,
            amount=terms.amount,
            priority=terms.priority,
            effective_ms=0,
            expire_ms=0,
            recurrence=terms.recurrence,
            refund_grace_ms=0,
            source=f"{SOURCE_PREFIX}{plan.plan}",
            create_ms=start_ms,
            void_ms=0,
        )
        for place, terms in enumerate(plan.grants)
    ]
    changed = as_it_is(policy, account, [*others, *made])
    units = frozenset(grant.unit for grant in (*others, *made) if grant.account == account)
    node = changed.accounts[account]
    return replace(
        changed,
        accounts={**changed.accounts, account: replace(node, plan=plan.plan)},
        budgets={**changed.budgets, account: _budgets(policy, account, plan)},
        prepaid={**changed.prepaid, account: units},
        plans={**changed.plans, plan.plan: plan},
    )


def first_needed_ms(policy: TenantPolicy, start_ms: int) -> int:
    """Return when the earliest window begins that is in force at a time."""
    starts = [start_ms]
    for budgets in policy.budgets.values():
        starts += _starts(policy, ((b.account, b.window) for b in budgets), start_ms)
    for grants in policy.grants.values():
        starts += _starts(policy, ((g.account, g.recurrence) for g in grants), start_ms)
    return min(starts)


def lasting_refs(policy: TenantPolicy) -> list[WindowRef]:
    """Return what counts without end, and so had counted something at any beginning."""
    refs = [
        WindowRef(budget.key, 0, budget.unit)
        for budgets in policy.budgets.values()
        for budget in budgets
        if budget.window is Window.TOTAL
    ]
    refs += [
        WindowRef(grant.key, 0, grant.unit)
        for grants in policy.grants.values()
        for grant in grants
        if grant.recurrence is Window.TOTAL
    ]
    # What a replay has made up, the ledger does not know.
    return [ref for ref in refs if ref.budget_key > 0]


def _that_only_counts(budget: Budget) -> Budget:
    return replace(budget, enforcement=Enforcement.NOTIFY)


def _starts(policy: TenantPolicy, found: Iterable[tuple[str, Window]], start_ms: int) -> list[int]:
    return [
        window_at(window, policy.accounts[account].time_zone, start_ms).start_ms
        for account, window in found
        if window is not Window.TOTAL
    ]


def _budgets(policy: TenantPolicy, account: str, plan: Plan) -> tuple[Budget, ...]:
    """Return the account's own budgets and those of a plan; the same id counts as the same."""
    had = {budget.budget: budget for budget in policy.budgets.get(account, ())}
    own = [budget for name, budget in had.items() if not name.startswith(BUDGET_PREFIX)]
    for place, terms in enumerate(plan.budgets):
        before = had.get(terms.budget)
        own.append(
            Budget(
                key=before.key if before else -1_000 - place,
                account=account,
                budget=terms.budget,
                unit=terms.unit,
                window=terms.window,
                limit=terms.limit,
                enforcement=terms.enforcement,
                create_time=plan.create_time,
                update_time=plan.update_time,
            )
        )
    return tuple(own)


def _by_account(grants: Iterable[Grant]) -> Mapping[str, tuple[Grant, ...]]:
    found: dict[str, list[Grant]] = {}
    for grant in grants:
        found.setdefault(grant.account, []).append(grant)
    return {account: tuple(of) for account, of in found.items()}
