"""Reserve, Commit and Release of one tenant, in plain Python: what the scripts would have decided.

It asks the same policy that Reserves are checked against (domain/policies.py), and counts windows
and lots as the scripts do; a property test holds it to the real authority. Time does not pass here:
each call says when it is, and they must come in the order of time. Nothing expires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from authority.domain.budgets import BudgetWindow, Enforcement, OveragePolicy, WindowRef
from authority.domain.money import AMOUNT_MAX, Option, Unit
from authority.domain.operations import DenialReason, LimitingWindow, Shortage
from authority.domain.policies import TenantPolicy, Terms
from authority.domain.ports import WindowCounts
from authority.domain.replay.eras import Eras
from authority.domain.replay.pools import Counts, LegCounts, Part, Pool, pools_of

_MINUTE_US = 60_000_000


@dataclass(slots=True)
class Held:
    """A reservation that is held."""

    account: str
    option_index: int
    legs: dict[Unit, LegCounts]
    windows: list[BudgetWindow]
    parts: list[Part] = field(default_factory=list)


class Denied(NamedTuple):
    """Why a Reserve was denied; `limiting` is the tightest budget, None where none was."""

    reason: DenialReason
    limiting: WindowRef | None = None


class Simulator:
    """The hot state of a tenant. `before` is what windows and lots had counted at the beginning."""

    def __init__(
        self, policy: TenantPolicy, before: Mapping[WindowRef, WindowCounts] | None = None
    ) -> None:
        self._policies = Eras(policy)
        self._counts = {
            # What was held then is not known to end, and is left out.
            ref: Counts(0, counts.committed, counts.refunded)
            for ref, counts in (before or {}).items()
        }
        self._levels: dict[str, int] = {}

    def policy_at(self, account: str, moment_ms: int) -> TenantPolicy:
        """Return the policy by which an account's Reserve of a moment is decided."""
        return self._policies.at(account, moment_ms)

    def reserve(self, account: str, options: Sequence[Option], now_ms: int) -> Held | Denied:
        """Hold the first option that fits, or say why none does."""
        units = frozenset(leg.unit for option in options for leg in option.legs)
        terms = self.policy_at(account, now_ms).terms(account, units, now_ms)
        refusals = [terms.refusal_of(option) for option in options]
        if all(refusal is DenialReason.PER_REQUEST_CAP for refusal in refusals):
            return Denied(DenialReason.PER_REQUEST_CAP)
        if full := self._limiting(terms, {Unit.RESERVATIONS: 1}, is_last=True):
            return Denied(DenialReason.CONCURRENCY_CAP, _tightest(full).ref)
        if not self._take_rates(terms, now_ms):
            return Denied(DenialReason.RATE_LIMITED)
        return self._choose(account, options, refusals, terms, now_ms)

    def _choose(
        self,
        account: str,
        options: Sequence[Option],
        refusals: Sequence[DenialReason | None],
        terms: Terms,
        now_ms: int,
    ) -> Held | Denied:
        pools = pools_of(terms.money, self._counts, now_ms)
        limiting: list[LimitingWindow] = []
        shortages: list[Shortage] = []
        for index, (option, refusal) in enumerate(zip(options, refusals, strict=True)):
            amounts = {leg.unit: leg.amount for leg in option.legs}
            is_last = option is options[-1] or _is_same_tier(option, options[-1])
            limiting = self._limiting(terms, amounts, is_last=is_last)
            shortages = _shortages(pools, amounts)
            if refusal is None and not limiting and not shortages:
                return self._hold(account, index, amounts, terms, pools)
        if refusals[-1] is not None:
            return Denied(refusals[-1])
        if limiting:
            row = _tightest(limiting)
            return Denied(row.reason, row.ref)
        return Denied(shortages[0].reason)

    def commit(self, held: Held, actual: Mapping[Unit, int], now_ms: int) -> dict[Unit, int]:
        """Charge the actual cost and give the rest back; return what was charged by unit."""
        policy = self.policy_at(held.account, now_ms)
        overage = policy.accounts[held.account].overage_policy
        money = policy.terms(held.account, frozenset(actual), now_ms).money
        pools = pools_of(money, self._counts, now_ms)
        charged = {}
        for unit in (*held.legs, *(unit for unit in actual if unit not in held.legs)):
            leg = held.legs.setdefault(unit, LegCounts())
            charged[unit] = self._charge(held, leg, unit, actual.get(unit, 0), overage, pools)
        self.release(held)
        return charged

    def release(self, held: Held) -> None:
        """Give back what is still held."""
        for window in held.windows:
            self._of(window.ref).reserved -= held.legs[window.budget.unit].held
        for part in held.parts:
            part.counts.reserved -= part.held
            part.held = 0
        for leg in held.legs.values():
            leg.held = 0

    def _of(self, ref: WindowRef) -> Counts:
        return self._counts.setdefault(ref, Counts())

    def _left(self, window: BudgetWindow) -> int:
        return window.budget.limit - self._of(window.ref).used

    def _limiting(
        self, terms: Terms, amounts: Mapping[Unit, int], *, is_last: bool
    ) -> list[LimitingWindow]:
        """Return the windows that do not allow the amounts."""
        rows = []
        for window in terms.windows:
            budget, amount = window.budget, amounts.get(window.budget.unit)
            if amount is None:
                continue
            counts = self._of(window.ref)
            denies = budget.enforcement is Enforcement.BLOCK or (
                budget.enforcement is Enforcement.DOWNGRADE and not is_last
            )
            overflows = counts.reserved + counts.committed + amount > AMOUNT_MAX
            if (denies and amount > budget.limit - counts.used) or overflows:
                net = counts.committed - counts.refunded
                in_debt = budget.account in terms.debtors and net > budget.limit
                rows.append(
                    LimitingWindow(window.ref, budget.limit, *counts.values, amount, int(in_debt))
                )
        return rows

    def _take_rates(self, terms: Terms, now_ms: int) -> bool:
        """Take one from each rate limit, all or none; a burst of a minute's worth is allowed."""
        now, levels = now_ms * 1000, {}
        for account, per_minute in terms.rates.items():
            levels[account] = max(self._levels.get(account, 0), now) + _MINUTE_US // per_minute
            if levels[account] - _MINUTE_US > now:
                return False
        self._levels |= levels
        return True

    def _hold(
        self,
        account: str,
        index: int,
        amounts: dict[Unit, int],
        terms: Terms,
        pools: Mapping[Unit, Pool],
    ) -> Held:
        if any(window.budget.unit is Unit.RESERVATIONS for window in terms.windows):
            amounts[Unit.RESERVATIONS] = 1
        windows = [window for window in terms.windows if window.budget.unit in amounts]
        legs = {unit: LegCounts(amount, amount) for unit, amount in amounts.items()}
        held = Held(account, index, legs, windows)
        for window in windows:
            self._of(window.ref).reserved += amounts[window.budget.unit]
        for unit, amount in amounts.items():
            if unit in pools:
                for part, taken in pools[unit].spend(held.parts, amount):
                    part.reserved += taken
                    part.held += taken
                    part.counts.reserved += taken
        return held

    def _charge(
        self,
        held: Held,
        leg: LegCounts,
        unit: Unit,
        cost: int,
        overage: OveragePolicy,
        pools: Mapping[Unit, Pool],
    ) -> int:
        """Charge the hold first, then by the overage policy; return how much."""
        pool = pools.get(unit)
        base, extra = min(cost, leg.held), 0
        if overage is not OveragePolicy.CAP and cost > base:
            extra = min(cost - base, self._free_above(held, leg, unit, base, overage, pool))
        rest = base
        for part in held.parts:
            if part.ref.unit is unit:
                own = min(part.held, rest)
                part.held -= own
                part.counts.reserved -= own
                part.counts.committed += own
                rest -= own
        if extra and pool is not None:
            owed = extra
            for part, taken in pool.spend(held.parts, extra):
                part.counts.committed += taken
                owed -= taken
            debtor = pool.debtor(held.parts)
            if owed and debtor is not None:
                debtor.committed += owed
        for window in held.windows:
            if window.budget.unit is unit:
                counts = self._of(window.ref)
                counts.reserved -= base
                counts.committed += base + extra
        leg.held -= base
        return base + extra

    def _free_above(
        self,
        held: Held,
        leg: LegCounts,
        unit: Unit,
        base: int,
        overage: OveragePolicy,
        pool: Pool | None,
    ) -> int:
        """Return what is free above the hold, of which `base` is charged."""
        free = AMOUNT_MAX
        is_metered = pool is not None and pool.debtor(held.parts) is not None
        for window in held.windows:
            if window.budget.unit is unit:
                is_metered = True
                is_bound = window.budget.enforcement is Enforcement.BLOCK
                if is_bound and overage is not OveragePolicy.DEBT:
                    free = min(free, max(self._left(window) + leg.held - base, 0))
        if pool is not None and overage is not OveragePolicy.DEBT:
            free = min(free, max(pool.free(free), 0))
        return free if is_metered else 0


def _is_same_tier(option: Option, last: Option) -> bool:
    """Say whether an option is another way to pay for what the last one is."""
    return bool(option.name) and option.name == last.name


def _shortages(pools: Mapping[Unit, Pool], amounts: Mapping[Unit, int]) -> list[Shortage]:
    rows = []
    for unit, amount in amounts.items():
        if unit in pools and (free := pools[unit].free(amount)) < amount:
            rows.append(Shortage(unit, amount, free, pools[unit].reserved))
    return rows


def _tightest(rows: Sequence[LimitingWindow]) -> LimitingWindow:
    # Exhausted ones first: waiting does not help there. Then by the missing share of the request.
    return min(
        rows,
        key=lambda row: (
            row.reason is DenialReason.BUDGET_BUSY,
            -Fraction(row.short_by, row.requested),
        ),
    )
