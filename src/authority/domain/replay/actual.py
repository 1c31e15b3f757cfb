"""What really became of the generations of a time, counted as a replay is."""

from __future__ import annotations

from authority.domain.insights.facts import PastAttempt, PastGeneration
from authority.domain.money import Unit
from authority.domain.policies import TenantPolicy
from authority.domain.replay.player import Blame, Outcome

_DENIED = "DENIED"


class Actual:
    """Counts what began from a time on."""

    def __init__(self, policy: TenantPolicy, counted_from_ms: int) -> None:
        self._budgets = policy.known_budgets
        self._counted_from_ms = counted_from_ms
        self.outcome = Outcome()

    def add(self, generation: PastGeneration) -> None:
        """Take in a generation."""
        if generation.create_ms < self._counted_from_ms:
            return
        outcome = self.outcome
        outcome.generation_count += 1
        for attempt in generation.attempts:
            if attempt.is_paid:
                outcome.actual += attempt.actual
                outcome.charged += attempt.charged
                outcome.refunded += attempt.refunded
            for unit, amount in attempt.granted:
                if amount and unit is not Unit.USD:
                    outcome.granted[unit] += amount
        if generation.cached:
            outcome.cached_count += 1
        elif generation.state == _DENIED:
            denied = next((found for found in generation.attempts if found.denial), None)
            moment_ms = denied.reserve_ms if denied else generation.create_ms
            outcome.blame(self._blame(denied), moment_ms)
        elif generation.state == "SUCCEEDED":
            outcome.made_count += 1
            outcome.downgraded_count += generation.downgraded
        else:
            outcome.failed_count += 1

    def _blame(self, denied: PastAttempt | None) -> Blame:
        if denied is None:
            return Blame(_DENIED)
        ref = denied.denied_by
        budget = self._budgets.get(ref.budget_key) if ref else None
        if budget is None:
            return Blame(denied.denial)
        return Blame(denied.denial, budget.account, budget.budget)
