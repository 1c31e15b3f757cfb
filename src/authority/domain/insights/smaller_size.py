"""Would the next smaller size have done?"""

from __future__ import annotations

from authority.domain.insights.alternatives import Market, extent, has_same_shape, used_by
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Against, Choice, Insight, InsightKind, Sum

METHOD = (
    "Each was priced anew by the same model and quality at the smaller size: what the provider "
    "billed where that would be the same, else the most that it could have cost."
)


class SmallerSize:
    """Looks at what was delivered, model by model."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._against = Against()

    def add(self, made: Made) -> None:
        """Take in a generation."""
        used = used_by(made)
        model = self._market.model(used.model)
        now = extent(used.size)
        if model is None or now is None:
            return
        costs = {}
        for size in model.sizes:
            if (other := extent(size)) is None or other >= now:
                continue
            choice = used._replace(size=size)
            cost = self._market.cost(made, choice)
            if cost is not None:
                costs[choice] = cost
        self._against.add(
            made.request.kind,
            used,
            costs,
            generation_id=made.generation.generation_id,
            paid=made.paid,
        )

    def insights(self) -> list[Insight]:
        """Return the nearest size that saves something, for each that was used."""
        found = []
        for (kind, used), by_choice in self._against.sums.items():
            saving = [(choice, made) for choice, made in by_choice.items() if made.saved > 0]
            if saving:
                choice, made = max(saving, key=lambda pair: _nearness(used, *pair))
                found.append(_insight(kind, used, choice, made))
        return found


def _nearness(used: Choice, choice: Choice, made: Sum) -> tuple[bool, int, int]:
    return has_same_shape(used.size, choice.size), extent(choice.size) or 0, made.saved


def _insight(kind: str, used: Choice, choice: Choice, made: Sum) -> Insight:
    return Insight(
        kind=InsightKind.SMALLER_SIZE,
        generation_kind=kind,
        used=used,
        instead=choice,
        paid=made.paid,
        saved=made.saved,
        attempt_count=made.count,
        generation_ids=made.generation_ids,
        summary=f"Make {used.size} as {choice.size} with {used.model}.",
        method=METHOD,
    )
