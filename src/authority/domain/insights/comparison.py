"""What was delivered, against what might have been made instead: what some of the rules share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from authority.domain.insights.alternatives import Market, used_by
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, Insight, InsightKind, Sum


class Comparison(ABC):
    """Prices each generation by every alternative, and tells one of these for what was used.

    An alternative counts those generations alone that have a price by it.
    """

    kind: ClassVar[InsightKind]
    method: ClassVar[str]

    def __init__(self, market: Market) -> None:
        self._market = market
        self._sums: dict[tuple[str, Choice], dict[Choice, Sum]] = {}

    def add(self, made: Made) -> None:
        """Take in a generation."""
        used = used_by(made)
        sums = self._sums.setdefault((made.request.kind, used), {})
        for choice in self._alternatives(made):
            cost = self._market.cost(made, choice)
            if cost is not None:
                sums.setdefault(choice, Sum()).add(made.generation.generation_id, made.paid, cost)

    def insights(self) -> list[Insight]:
        """Return the best of what saves something, for each that was used."""
        found = []
        for (kind, used), sums in self._sums.items():
            saving = {choice: made for choice, made in sums.items() if made.saved > 0}
            if not saving:
                continue
            choice = self._best(used, saving)
            made = saving[choice]
            found.append(
                Insight(
                    kind=self.kind,
                    generation_kind=kind,
                    used=used,
                    instead=choice,
                    paid=made.paid,
                    saved=made.saved,
                    attempt_count=made.count,
                    generation_ids=made.generation_ids,
                    summary=self._summary(used, choice),
                    method=self.method,
                )
            )
        return found

    @abstractmethod
    def _alternatives(self, made: Made) -> Iterable[Choice]:
        """Return what might have made a generation."""

    @abstractmethod
    def _best(self, used: Choice, saving: Mapping[Choice, Sum]) -> Choice:
        """Return which of what saves something to tell."""

    @abstractmethod
    def _summary(self, used: Choice, choice: Choice) -> str:
        """Return the suggestion for people."""
