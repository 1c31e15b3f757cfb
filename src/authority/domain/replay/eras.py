"""What had to be covered by grants at each moment: nothing had to be before the first was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from authority.domain.money import Unit
from authority.domain.policies import TenantPolicy


class Eras:
    """Says by which policy a Reserve or Commit of a moment is decided.

    An account pays with grants from its first one on, and not before. What was ever granted in a
    unit is known of all its accounts; a unit without a grant that is known was always so.
    """

    def __init__(self, policy: TenantPolicy) -> None:
        self._policy = policy
        self._since = {
            (account, unit): _first_ms(policy, account, unit)
            for account, units in policy.prepaid.items()
            for unit in units
        }
        # From then on everything is as the policy says.
        self._last_ms = max(self._since.values(), default=0)
        self._known: dict[frozenset[tuple[str, frozenset[Unit]]], TenantPolicy] = {}

    def at(self, account: str, moment_ms: int) -> TenantPolicy:
        """Return the policy as it was for an account at a moment."""
        if moment_ms >= self._last_ms:
            return self._policy
        prepaid = self._prepaid(account, moment_ms)
        # Few accounts are given their first grants, so there are few of these.
        key = frozenset(prepaid.items())
        if key not in self._known:
            self._known[key] = replace(self._policy, prepaid=prepaid)
        return self._known[key]

    def _prepaid(self, account: str, moment_ms: int) -> Mapping[str, frozenset[Unit]]:
        found: dict[str, frozenset[Unit]] = {}
        for node in self._policy.chain(account):
            had = self._policy.prepaid.get(node.account, frozenset())
            units = frozenset(unit for unit in had if self._since[node.account, unit] <= moment_ms)
            if units:
                found[node.account] = units
        return found


def _first_ms(policy: TenantPolicy, account: str, unit: Unit) -> int:
    """Return since when a unit is covered by grants; one that is made up is from the beginning."""
    return min(
        (
            min(grant.create_ms, grant.effective_ms)
            for grant in policy.grants.get(account, ())
            if grant.unit is unit
        ),
        default=0,
    )
