"""The policies of tenants, cached by this process until a script says that they are stale."""

from __future__ import annotations

from authority.domain.budgets import Account
from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.policies import TenantPolicy
from authority.domain.ports import Ledger
from authority.usecases.single_flight import SingleFlight


class Policies:
    """Gives the policy of a tenant; `forget` makes the next call read it anew."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._cached: dict[str, TenantPolicy] = {}
        self._reads: SingleFlight[str, TenantPolicy | None] = SingleFlight()

    async def of(self, account: str) -> TenantPolicy:
        """Return the policy of the account's tenant. Raises NotFound for an unknown account."""
        tenant = tenant_of(account)
        policy = self._cached.get(tenant)
        if policy is None:
            policy = await self._reads.do(tenant, lambda: self._ledger.policy(tenant))
        if policy is None or account not in policy.accounts:
            # An account that was made since is not in the cached policy, nor in a reading that
            # another call began before.
            policy = await self._ledger.policy(tenant)
        if policy is None or account not in policy.accounts:
            raise NotFound("account", account)
        self._cached[tenant] = policy
        return policy

    async def account(self, account: str) -> Account:
        """Return an account. Raises NotFound."""
        return (await self.of(account)).accounts[account]

    def forget(self, tenant: str) -> None:
        """Read the tenant's policy anew at the next call."""
        self._cached.pop(tenant, None)
        self._reads.forget(tenant)

    def outdate(self, tenant: str, version: int) -> None:
        """Read the policy anew at the next call, if what is cached is older than a version."""
        cached = self._cached.get(tenant)
        if cached is not None and cached.version < version:
            self.forget(tenant)

    async def stop(self) -> None:
        """End the reads under way."""
        await self._reads.stop()
