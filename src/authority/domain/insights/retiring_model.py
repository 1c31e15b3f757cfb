"""Which models in use end soon, or have ended, and what their substitutes would have cost."""

from __future__ import annotations

from authority.domain.insights.alternatives import Market, used_by
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, Insight, InsightKind, Sum
from generations.models import Model, Status

METHOD = (
    "The catalogue says when the model ends and what takes its place. Each was priced anew by the "
    "substitute at the same size and at the quality of that name, else its default one; those "
    "without a price there are left out of the saving. Below 0, the substitute is dearer."
)


class RetiringModel:
    """Looks at what was delivered by models that do not last."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._sums: dict[tuple[str, Choice, Choice], Sum] = {}

    def add(self, made: Made) -> None:
        """Take in a generation."""
        used = used_by(made)
        model = self._market.model(used.model)
        if model is None or self._market.status(model) is Status.LIVE:
            return
        instead = self._substitute(model, used)
        cost = self._market.cost(made, instead)
        key = made.request.kind, used, instead
        self._sums.setdefault(key, Sum()).add(
            made.generation.generation_id, made.paid, made.paid if cost is None else cost
        )

    def _substitute(self, model: Model, used: Choice) -> Choice:
        other = self._market.model(model.substitute)
        if other is None:
            return Choice()
        quality = used.quality if used.quality in other.qualities else other.default_quality
        return Choice(other.provider, other.name, used.size, quality)

    def insights(self) -> list[Insight]:
        """Return each model that does not last, whatever its substitute costs."""
        found = []
        for (kind, used, instead), made in self._sums.items():
            model = self._market.model(used.model)
            assert model is not None, "it was counted by its model"
            verb = "has ended" if self._market.status(model) is Status.RETIRED else "ends"
            found.append(
                Insight(
                    kind=InsightKind.RETIRING_MODEL,
                    generation_kind=kind,
                    used=used,
                    instead=instead,
                    paid=made.paid,
                    saved=made.saved,
                    attempt_count=made.count,
                    generation_ids=made.generation_ids,
                    summary=f"{used.model} {verb} on {model.retire_date}; use {instead}.",
                    method=METHOD,
                    retire_date=model.retire_date,
                )
            )
        return found
