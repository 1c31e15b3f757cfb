"""Puts every rule to every generation, the earliest first, and what they found in order.

What has failed is looked at by the rule for failures alone, and what was made twice by that for
duplicates alone, so that nothing is saved twice between those, and a cheaper model is judged by
what remains. Suggestions about size, quality and model exclude one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from authority.domain.insights.alternatives import Market
from authority.domain.insights.cheaper_model import CheaperModel
from authority.domain.insights.duplicates import Duplicates
from authority.domain.insights.facts import Made, PastGeneration
from authority.domain.insights.failures import Failures
from authority.domain.insights.insight import Insight, InsightKind
from authority.domain.insights.lower_quality import LowerQuality
from authority.domain.insights.retiring_model import RetiringModel
from authority.domain.insights.score import Efficiency
from authority.domain.insights.shorter_prompts import ShorterPrompts
from authority.domain.insights.smaller_size import SmallerSize
from similarity.policy import CachePolicy

INSIGHTS_MAX = 100


class Reviewed(NamedTuple):
    """What there is to say, and of how much; what saves most comes first."""

    insights: tuple[Insight, ...]
    efficiency: Efficiency
    generation_count: int
    attempt_count: int
    cached_count: int


class Review:
    """Goes once through the generations of a time."""

    def __init__(self, market: Market, policy: CachePolicy) -> None:
        self._failures = Failures()
        self._duplicates = Duplicates(policy)
        self._models = CheaperModel(market)
        self._rest = (
            self._models,
            SmallerSize(market),
            LowerQuality(market),
            RetiringModel(market),
            ShorterPrompts(market),
        )
        self._paid = self._saved = 0
        self._generation_count = self._attempt_count = self._cached_count = 0

    def go_through(self, generations: Iterable[PastGeneration]) -> Iterator[None]:
        """Take in generations, one at each step."""
        for generation in generations:
            self.add(generation)
            yield

    def add(self, generation: PastGeneration) -> None:
        """Take in a generation."""
        self._generation_count += 1
        if generation.cached:
            self._cached_count += 1
            self._saved += generation.saved
        delivered = generation.delivered
        for attempt in generation.attempts:
            if not attempt.is_paid:
                continue
            self._attempt_count += 1
            self._paid += attempt.paid
            if attempt is not delivered:
                self._failures.add(generation, attempt)
        # What was given back in full has cost nothing that could be saved.
        if delivered is None or delivered.option is None or delivered.paid <= 0:
            return
        made = Made(generation, delivered, delivered.option)
        if self._duplicates.add(made):
            return
        for rule in self._rest:
            rule.add(made)

    def finish(self) -> Reviewed:
        """Return what the rules have found."""
        found = [*self._failures.insights(), *self._duplicates.insights()]
        for rule in self._rest:
            found += rule.insights()
        found.sort(key=lambda insight: (-insight.saved, insight.kind, insight.summary))
        efficiency = Efficiency(
            paid=self._paid,
            saved_by_cache=self._saved,
            failures=self._failures.paid,
            duplicates=self._duplicates.paid,
            dearer=sum(
                insight.saved for insight in found if insight.kind is InsightKind.CHEAPER_MODEL
            ),
        )
        return Reviewed(
            tuple(found[:INSIGHTS_MAX]),
            efficiency,
            self._generation_count,
            self._attempt_count,
            self._cached_count,
        )
