"""Plays workloads through a simulator, in the order of time, and counts what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from authority.domain.money import Unit
from authority.domain.policies import TenantPolicy
from authority.domain.replay.payment import CreditPrices, NoWay, Way, ways_to_pay
from authority.domain.replay.simulator import Held, Simulator
from authority.domain.replay.workload import Fate, Work, Workload


class Blame(NamedTuple):
    """Why Reserves were denied: the reason, and whose budget was in the way, if one was."""

    reason: str
    account: str = ""
    budget: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of the generations of a time. Amounts are micros of USD, `granted` by unit."""

    generation_count: int = 0
    made_count: int = 0
    downgraded_count: int = 0
    cached_count: int = 0
    denied_count: int = 0
    impossible_count: int = 0
    failed_count: int = 0
    actual: int = 0
    charged: int = 0
    refunded: int = 0
    granted: Counter[Unit] = field(default_factory=Counter)
    denials: Counter[Blame] = field(default_factory=Counter)
    first_ms: dict[Blame, int] = field(default_factory=dict)

    def blame(self, blame: Blame, moment_ms: int) -> None:
        """Count a generation that was denied."""
        self.denied_count += 1
        self.denials[blame] += 1
        self.first_ms.setdefault(blame, moment_ms)


class _Begin(NamedTuple):
    place: int
    work: Work
    is_last: bool


class _Taken(NamedTuple):
    held: Held
    way: Way


class _End(NamedTuple):
    held: Held
    way: Way
    is_counted: bool


class _Denial(Exception):
    def __init__(self, blame: Blame) -> None:
        super().__init__(blame.reason)
        self.blame = blame


class Player:
    """Replays under a policy. What began before `counted_from_ms` spends, and is not counted."""

    def __init__(
        self,
        policy: TenantPolicy,
        simulator: Simulator,
        prices: CreditPrices,
        counted_from_ms: int,
    ) -> None:
        self._policy = policy
        self._simulator = simulator
        self._prices = prices
        self._counted_from_ms = counted_from_ms
        self._numbers = count()
        self._events: list[tuple[int, int, int, _Begin | _End]] = []
        self._denied: set[int] = set()
        self.outcome = Outcome()

    def play(self, workloads: Sequence[Workload]) -> Iterator[None]:
        """Replay all of them, a step at a time; in the end `outcome` has what became of them."""
        for place, workload in enumerate(workloads):
            self._count_fate(workload)
            for work in workload.works:
                self._push(work.at_ms, 1, _Begin(place, work, is_last=work is workload.works[-1]))
            yield
        while self._events:
            moment_ms, _, _, event = heappop(self._events)
            if isinstance(event, _End):
                self._end(event, moment_ms)
            elif event.place not in self._denied:
                self._begin(workloads[event.place], event, moment_ms)
            yield

    def _push(self, moment_ms: int, rank: int, event: _Begin | _End) -> None:
        # What ends at a moment makes room for what begins at it; the number keeps the order.
        heappush(self._events, (moment_ms, rank, next(self._numbers), event))

    def _count_fate(self, workload: Workload) -> None:
        if workload.create_ms < self._counted_from_ms:
            return
        self.outcome.generation_count += 1
        self.outcome.cached_count += workload.fate is Fate.CACHED
        self.outcome.failed_count += workload.fate is Fate.FAILED
        self.outcome.impossible_count += workload.fate is Fate.IMPOSSIBLE

    def _begin(self, workload: Workload, event: _Begin, moment_ms: int) -> None:
        work, is_counted = event.work, workload.create_ms >= self._counted_from_ms
        try:
            way = self._reserve(work, moment_ms)
        except _Denial as denial:
            self._denied.add(event.place)
            if is_counted:
                self.outcome.blame(denial.blame, moment_ms)
            return
        self._push(work.end_ms, 0, _End(*way, is_counted))
        if is_counted and event.is_last:
            is_worse = bool(work.tier) and way.way.offer.tier != work.tier
            self.outcome.failed_count += workload.fails
            self.outcome.made_count += not workload.fails
            self.outcome.downgraded_count += is_worse and not workload.fails

    def _reserve(self, work: Work, moment_ms: int) -> _Taken:
        """Hold what some work needs. Raises _Denial."""
        policy = self._simulator.policy_at(work.account, moment_ms)
        try:
            ways = ways_to_pay(work, policy, self._prices)
        except NoWay as error:
            raise _Denial(Blame(str(error))) from None
        options = [way.option for way in ways]
        held = self._simulator.reserve(work.account, options, moment_ms)
        if isinstance(held, Held):
            return _Taken(held, ways[held.option_index])
        if held.limiting is None:
            raise _Denial(Blame(held.reason))
        budget = self._policy.known_budgets[held.limiting.budget_key]
        raise _Denial(Blame(held.reason, budget.account, budget.budget))

    def _end(self, event: _End, moment_ms: int) -> None:
        if not event.way.offer.is_paid:
            self._simulator.release(event.held)
            return
        charged = self._simulator.commit(event.held, event.way.actual, moment_ms)
        if event.is_counted:
            self.outcome.actual += event.way.offer.actual
            self.outcome.charged += charged[Unit.USD]
            account = event.held.account
            prepaid = self._simulator.policy_at(account, moment_ms).prepaid_units(account)
            for unit in prepaid & charged.keys() - {Unit.USD}:
                self.outcome.granted[unit] += charged[unit]
