"""Would another model of the same kind and class have made it for less?"""

from __future__ import annotations

from authority.domain.insights.alternatives import Market, used_by
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Against, Insight, InsightKind

METHOD = (
    "Each was priced anew by every live model of the same class that has a published price at its "
    "size and takes its settings; the cheapest over all of them is shown. Tokens and seconds count "
    "as billed, else the most that it could have cost. Quality within a class is not compared."
)


class CheaperModel:
    """Looks at what was delivered, model by model."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._against = Against()

    def add(self, made: Made) -> None:
        """Take in a generation."""
        costs = {
            choice: cost
            for choice in self._market.others(made)
            if (cost := self._market.cost(made, choice)) is not None
        }
        self._against.add(
            made.request.kind,
            used_by(made),
            costs,
            generation_id=made.generation.generation_id,
            paid=made.paid,
        )

    def insights(self) -> list[Insight]:
        """Return the model that saves most, for each that was used."""
        found = []
        for (kind, used), by_choice in self._against.sums.items():
            if not by_choice:
                continue
            choice, made = max(by_choice.items(), key=lambda pair: (pair[1].saved, pair[0]))
            if made.saved > 0:
                found.append(
                    Insight(
                        kind=InsightKind.CHEAPER_MODEL,
                        generation_kind=kind,
                        used=used,
                        instead=choice,
                        paid=made.paid,
                        saved=made.saved,
                        attempt_count=made.count,
                        generation_ids=made.generation_ids,
                        summary=f"Use {choice} in place of {used}.",
                        method=METHOD,
                    )
                )
        return found
