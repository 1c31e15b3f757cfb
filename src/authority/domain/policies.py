"""The policy of a tenant: what a Reserve is checked against, as of one version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from weakref import ref

from authority.domain.alerts import Thresholds
from authority.domain.budgets import (
    Account,
    AccountState,
    Budget,
    BudgetWindow,
    OveragePolicy,
    WindowRef,
)
from authority.domain.grants import Grant, Lot
from authority.domain.money import MONEY_UNITS, Option, Unit
from authority.domain.operations import DenialReason
from authority.domain.own_budgets import OWN_BUDGET, held_to_own
from authority.domain.plans import NOT_WATCHED, AbusePolicy, Plan
from authority.domain.windows import QUARTER_MS, window_at
from generations.models import Quality

# Each takes some 2 kB. What was forgotten is worked out anew in 20 microseconds.
_TERMS_MAX = 50_000
PLATFORM_ZONE = "UTC"


class Money(NamedTuple):
    """The grants of an account: what it may spend, in order, and what must be covered by it."""

    lots: Sequence[Lot]
    prepaid: frozenset[Unit]


@dataclass(frozen=True, eq=False)
class Terms:
    """What a policy says of Reserves by one account in some units, for a quarter of an hour."""

    account: str
    policy_version: int
    refusal: DenialReason | None  # the account's own
    windows: tuple[BudgetWindow, ...]
    money: Money
    debtors: frozenset[str]  # the accounts that may be in debt
    rates: Mapping[str, int]  # Reserves a minute, by account
    per_request_limits: Mapping[Unit, int]
    metered: frozenset[Unit]
    end_ms: int = 0  # from when on the account is closed, or one above it; 0 for none

    @cached_property
    def refs(self) -> list[WindowRef]:
        """Return what counts: the windows, and then the lots."""
        return [*(window.ref for window in self.windows), *(lot.ref for lot in self.money.lots)]

    @cached_property
    def leased(self) -> list[WindowRef]:
        """Return the windows whose limit is a lease."""
        return [window.ref for window in self.windows if window.is_leased]

    def refusal_of(self, option: Option) -> DenialReason | None:
        """Return why an option may never be held, whatever is left."""
        limits = self.per_request_limits
        for unit, amount in option.legs:
            if amount > limits.get(unit, amount):
                return DenialReason.PER_REQUEST_CAP
        # A count that nothing meters is only recorded; money is then not to be spent.
        for unit, _ in option.legs:
            if unit in MONEY_UNITS and unit not in self.metered:
                return DenialReason.NO_BUDGET
        return None


class KnownTerms:
    """What was worked out of policies, of all tenants together, as far as it is asked for.

    A policy never changes, so that its terms hold as long as it does, or for a quarter of an hour.
    Those that were not asked for the longest are forgotten; a policy is not kept by its terms.
    """

    def __init__(self, terms_max: int = _TERMS_MAX) -> None:
        self._terms_max = terms_max
        self._known: OrderedDict[tuple[str, frozenset[Unit]], _KnownTerms] = OrderedDict()

    def of(self, policy: TenantPolicy, account: str, units: frozenset[Unit], now_ms: int) -> Terms:
        """Return the terms of an account in some units at a moment."""
        key, quarter = (account, units), now_ms // QUARTER_MS
        known = self._known.get(key)
        if known is None or known.policy() is not policy or known.quarter != quarter:
            terms = policy.resolve(account, units, now_ms)
            known = self._known[key] = _KnownTerms(ref(policy), quarter, terms)
        self._known.move_to_end(key)
        if len(self._known) > self._terms_max:
            self._known.popitem(last=False)
        return known.terms


class _KnownTerms(NamedTuple):
    policy: ref[TenantPolicy]
    quarter: int
    terms: Terms


@dataclass(frozen=True, eq=False)
class TenantPolicy:
    """A tenant's accounts, budgets and grants, cached by every authority process.

    `grants` are by account and leave out what was spent or has expired long ago; `prepaid` has the
    units in which an account was ever granted anything. `ended` are budgets that plans have left
    behind: they bind nobody, but reservations and denials may name them. `plans` are those that
    the accounts have.
    """

    tenant: str
    version: int
    accounts: Mapping[str, Account]
    budgets: Mapping[str, tuple[Budget, ...]]
    grants: Mapping[str, tuple[Grant, ...]]
    prepaid: Mapping[str, frozenset[Unit]]
    ended: tuple[Budget, ...] = ()
    # The budgets of the platform, by the keys under which this tenant counts them.
    shares: tuple[Budget, ...] = ()
    plans: Mapping[str, Plan] = field(default_factory=dict)
    known_terms: KnownTerms = field(default_factory=KnownTerms, repr=False)

    def chain(self, account: str) -> Iterator[Account]:
        """Yield the account and those above it within the tenant, from the inside out."""
        at = self.accounts.get(account)
        while at is not None:
            yield at
            at = self.accounts.get(at.parent)

    def below(self, account: str) -> list[str]:
        """Return the ids of the account and of all below it."""
        return [
            name
            for name in self.accounts
            if any(node.account == account for node in self.chain(name))
        ]

    def windows(self, account: str, now_ms: int) -> list[BudgetWindow]:
        """Return every budget that binds `account` in its window of now, from the inside out."""
        own = [
            self.window_of(budget, now_ms)
            for node in self.chain(account)
            for budget in self.budgets.get(node.account, ())
        ]
        return own + [self.window_of(share, now_ms) for share in self.shares]

    def window_of(self, budget: Budget, moment_ms: int) -> BudgetWindow:
        """Return the window of a budget that was or is in force at a moment."""
        if budget.is_of_platform:
            return BudgetWindow(budget, window_at(budget.window, PLATFORM_ZONE, moment_ms))
        time_zone = self.accounts[budget.account].time_zone
        span = window_at(budget.window, time_zone, moment_ms)
        return BudgetWindow(self.budget_in(budget, span.start_ms), span)

    def budget_in(self, budget: Budget, start_ms: int) -> Budget:
        """Return a budget as it binds in the window that starts at an instant."""
        return held_to_own(budget, self._own_budgets.get(budget.account), start_ms)

    @cached_property
    def _own_budgets(self) -> Mapping[str, Budget]:
        """Return the monthly budgets that users have set for themselves, by account."""
        return {
            budget.account: budget
            for of in self.budgets.values()
            for budget in of
            if budget.budget == OWN_BUDGET
        }

    @cached_property
    def budget_by_key(self) -> Mapping[int, Budget]:
        """Return the budgets that bind by the ledger's number for them."""
        of_accounts = {budget.key: budget for of in self.budgets.values() for budget in of}
        return of_accounts | {share.key: share for share in self.shares}

    @cached_property
    def thresholds(self) -> Mapping[int, Thresholds]:
        """Return when the budgets that raise alerts do, by the ledger's number for them."""
        return {
            key: Thresholds(budget.limit, budget.alert_thresholds)
            for key, budget in self.budget_by_key.items()
            # What all tenants use together is looked at elsewhere (recovery/leases.py).
            if budget.alert_thresholds and not budget.is_of_platform
        }

    @cached_property
    def known_budgets(self) -> Mapping[int, Budget]:
        """Return all budgets, also those that have ended, by the ledger's number for them."""
        return dict(self.budget_by_key) | {budget.key: budget for budget in self.ended}

    def per_request_limits(self, account: Account) -> Mapping[Unit, int]:
        """Return an account's limits: its plan's, but for the units that it has its own in."""
        plan = self.plans.get(account.plan)
        return (
            {**plan.per_request_limits, **account.per_request_limits}
            if plan
            else (account.per_request_limits)
        )

    def reserves_per_minute(self, account: Account) -> int:
        """Return an account's own rate or else its plan's; 0 for no limit."""
        plan = self.plans.get(account.plan)
        return account.reserves_per_minute or (plan.reserves_per_minute if plan else 0)

    def refusal(self, account: str, now_ms: int) -> DenialReason | None:
        """Return why `account` may neither reserve nor submit now, whatever is left."""
        chain = list(self.chain(account))
        if any(0 < node.end_ms <= now_ms for node in chain):
            return DenialReason.ACCOUNT_CLOSED
        return _refusal({node.state for node in chain})

    def submissions_per_minute(self, account: Account) -> int:
        """Return an account's own rate of submissions or else its plan's; 0 for no limit."""
        plan = self.plans.get(account.plan)
        return account.submissions_per_minute or (plan.submissions_per_minute if plan else 0)

    def tier(self, account: str) -> str:
        """Return the highest quality class that is made for `account`; '' for no limit."""
        plans = (self.plans.get(node.plan) for node in self.chain(account))
        tiers = {plan.tier for plan in plans if plan and plan.tier}
        return Quality.STANDARD if Quality.STANDARD in tiers else "".join(tiers)

    def abuse(self, account: str) -> AbusePolicy:
        """Return what is watched of `account`: by its plan, or the nearest above that watches."""
        plans = (self.plans.get(node.plan) for node in self.chain(account))
        watching = (plan.abuse for plan in plans if plan and plan.abuse.within_ms)
        return next(watching, NOT_WATCHED)

    def prepaid_units(self, account: str) -> frozenset[Unit]:
        """Return the units that must be covered by grants when `account` spends."""
        nothing: frozenset[Unit] = frozenset()
        return nothing.union(*(self.prepaid.get(node.account, ()) for node in self.chain(account)))

    def lots(self, account: str, units: AbstractSet[Unit], now_ms: int) -> list[Lot]:
        """Return what `account` may spend in some units, in the order in which it is spent."""
        lots = [
            grant.lot_at(node.time_zone, now_ms)
            for node in self.chain(account)
            for grant in self.grants.get(node.account, ())
            if grant.unit in units
        ]
        return sorted(lots, key=lambda lot: lot.spending_order)

    @cached_property
    def grant_by_key(self) -> Mapping[int, Grant]:
        """Return the grants by the ledger's number for them."""
        return {grant.key: grant for of in self.grants.values() for grant in of}

    def leased(self, refs: Iterable[WindowRef]) -> list[WindowRef]:
        """Return those windows whose limit is a lease."""
        keys = {share.key for share in self.shares if share.is_leased}
        return [ref for ref in refs if ref.budget_key in keys]

    def money(self, account: str, units: frozenset[Unit], now_ms: int) -> Money:
        """Return what must be covered by grants in some units, and what may be spent of them."""
        prepaid = self.prepaid_units(account) & units
        return Money(tuple(self.lots(account, prepaid, now_ms)), prepaid)

    def terms(self, account: str, units: frozenset[Unit], now_ms: int) -> Terms:
        """Return what a Reserve by an account is checked against."""
        return self.known_terms.of(self, account, units, now_ms)

    def resolve(self, account: str, units: frozenset[Unit], now_ms: int) -> Terms:
        """Work out what `terms` returns."""
        chain = list(self.chain(account))
        windows = tuple(self.windows(account, now_ms))
        money = self.money(account, units, now_ms)
        limits: dict[Unit, int] = {}
        for node in chain:
            for unit, limit in self.per_request_limits(node).items():
                limits[unit] = min(limit, limits.get(unit, limit))
        rates = {node.account: self.reserves_per_minute(node) for node in chain}
        return Terms(
            account=account,
            policy_version=self.version,
            refusal=_refusal({node.state for node in chain}),
            end_ms=min((node.end_ms for node in chain if node.end_ms), default=0),
            windows=windows,
            money=money,
            debtors=frozenset(
                node.account for node in chain if node.overage_policy is OveragePolicy.DEBT
            ),
            rates={name: rate for name, rate in rates.items() if rate},
            per_request_limits=limits,
            metered=money.prepaid | {window.budget.unit for window in windows},
        )


def _refusal(states: AbstractSet[AccountState]) -> DenialReason | None:
    if AccountState.CLOSED in states:
        return DenialReason.ACCOUNT_CLOSED
    if AccountState.FROZEN in states:
        return DenialReason.ACCOUNT_FROZEN
    return None
