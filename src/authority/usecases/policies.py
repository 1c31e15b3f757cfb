"""The policies of tenants, cached by this process until a script says that they are stale."""

from __future__ import annotations

from collections import OrderedDict

from authority.domain.budgets import Account
from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.policies import TenantPolicy
from authority.domain.ports import Ledger
from authority.usecases.single_flight import SingleFlight

# Each takes about 1 kB. Past it a tenant of thousands is read anew again and again, a quarter of a
# second for 10,000 accounts.
ACCOUNTS_MAX = 2_000_000


class Policies:
    """Gives the policy of a tenant; `forget` makes the next call read it anew.

    Past so many accounts, it forgets those of the tenants that were not asked for the longest.
    """

    def __init__(self, ledger: Ledger, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._ledger = ledger
        self._accounts_max = accounts_max
        self._accounts = 0  # of all that is cached
        self._cached: OrderedDict[str, TenantPolicy] = OrderedDict()
        self._reads: SingleFlight[str, TenantPolicy | None] = SingleFlight()

    async def of(self, account: str) -> TenantPolicy:
        """Return the policy of the account's tenant. Raises NotFound for an unknown account."""
        tenant = tenant_of(account)
        policy = self._cached.get(tenant)
        if policy is not None and account in policy.accounts:
            self._cached.move_to_end(tenant)
            return policy
        if policy is None:
            policy = await self._reads.do(tenant, lambda: self._ledger.policy(tenant))
        if policy is None or account not in policy.accounts:
            # An account that was made since is not in the cached policy, nor in a reading that
            # another call began before.
            policy = await self._ledger.policy(tenant)
        if policy is None or account not in policy.accounts:
            raise NotFound("account", account)
        self._keep(policy)
        return policy

    async def account(self, account: str) -> Account:
        """Return an account. Raises NotFound."""
        return (await self.of(account)).accounts[account]

    def forget(self, tenant: str) -> None:
        """Read the tenant's policy anew at the next call."""
        self._drop(tenant)
        self._reads.forget(tenant)

    def outdate(self, tenant: str, version: int) -> None:
        """Read the policy anew at the next call, if what is cached is older than a version."""
        cached = self._cached.get(tenant)
        if cached is not None and cached.version < version:
            self.forget(tenant)

    def _keep(self, policy: TenantPolicy) -> None:
        self._drop(policy.tenant)
        self._cached[policy.tenant] = policy
        self._accounts += len(policy.accounts)
        while self._accounts > self._accounts_max and len(self._cached) > 1:
            self._drop(next(iter(self._cached)))

    def _drop(self, tenant: str) -> None:
        dropped = self._cached.pop(tenant, None)
        if dropped is not None:
            self._accounts -= len(dropped.accounts)

    async def stop(self) -> None:
        """End the reads under way."""
        await self._reads.stop()
