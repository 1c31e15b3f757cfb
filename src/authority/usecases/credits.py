"""GetCreditStatus: what an account has to pay with, and what limits it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authority.domain.budgets import Enforcement
from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.domain.prices import PriceList
from authority.domain.windows import Window
from authority.usecases.context import Context
from authority.usecases.grants import GrantBalance
from authority.usecases.read import AccountBalance, Balance, read_balance


@dataclass(frozen=True, slots=True)
class CreditStatus:
    """What an account has to pay with at one moment; `tier` is '' where its plans limit none."""

    account: str
    plan: str
    tier: str
    prepaid_units: frozenset[Unit]
    balance: AccountBalance
    price_list: PriceList

    @property
    def allowances(self) -> list[GrantBalance]:
        """Return what is granted anew in every period and may be spent, spent up or not."""
        return [grant for grant in self.balance.grants if _recurs(grant) and grant.is_active]

    @property
    def free_images(self) -> int:
        """Return how many images may be made that nobody has paid for."""
        return _spendable(
            grant
            for grant in self.balance.grants
            if grant.lot.grant.unit is Unit.IMAGES and not grant.lot.grant.price_micros
        )

    @property
    def credits(self) -> int:
        """Return what may be spent in CREDITS; below zero where more is owed than there is."""
        return _spendable(self._credit_grants)

    @property
    def paid_credits(self) -> int:
        """Return the same of grants that do not recur."""
        return _spendable(grant for grant in self._credit_grants if not _recurs(grant))

    @property
    def reserved_credits(self) -> int:
        """Return what open reservations hold in CREDITS."""
        return sum(grant.counts.reserved for grant in self._credit_grants)

    @property
    def month(self) -> Balance | None:
        """Return the monthly cap in USD: the tightest of the account's, or of the next above."""
        caps = [
            item
            for item in self.balance.budgets
            if item.window.budget.unit is Unit.USD
            and item.window.budget.window is Window.MONTH
            and item.window.budget.enforcement is not Enforcement.NOTIFY
        ]
        # They come from the inside out.
        nearest = [item for item in caps if item.window.budget.account == _owner(caps[0])]
        return min(nearest, key=lambda item: item.window.budget.limit, default=None)

    @property
    def _credit_grants(self) -> list[GrantBalance]:
        return [grant for grant in self.balance.grants if grant.lot.grant.unit is Unit.CREDITS]


async def credit_status(context: Context, account: str) -> CreditStatus:
    """Return what an account has to pay with. Raises NotFound and Unavailable."""
    tenant = tenant_of(account)
    # Cheaper than to read the policy anew, and as good: workers ask for every generation.
    context.policies.outdate(tenant, await context.ledger.policy_version(tenant))
    balance = await read_balance(context, account, renew=False)
    policy = await context.policies.of(account)
    return CreditStatus(
        account=account,
        plan=policy.accounts[account].plan,
        tier=policy.tier(account),
        prepaid_units=policy.prepaid_units(account),
        balance=balance,
        price_list=await context.ledger.price_list(0),
    )


def _recurs(grant: GrantBalance) -> bool:
    return grant.lot.grant.recurrence is not Window.TOTAL


def _owner(item: Balance) -> str:
    return item.window.budget.account


def _spendable(grants: Iterable[GrantBalance]) -> int:
    """Return what is left of grants in effect, less what is owed to any."""
    return sum(grant.left if grant.is_active else min(grant.left, 0) for grant in grants)
