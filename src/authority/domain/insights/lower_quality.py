"""Would the next lower quality have done?"""

from __future__ import annotations

from authority.domain.insights.alternatives import Market, used_by
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Against, Choice, Insight, InsightKind
from generations.models import Kind, Quality

METHOD = (
    "Each was priced anew at the same size: by the same model at the lower quality or, where the "
    "request named no model, by what `standard` gets today. What the provider billed counts where "
    "that would be the same, else the most that it could have cost."
)


class LowerQuality:
    """Looks at what was delivered, quality by quality."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._against = Against()

    def add(self, made: Made) -> None:
        """Take in a generation."""
        used = used_by(made)
        costs = {}
        for choice in self._lower(made, used):
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

    def _lower(self, made: Made, used: Choice) -> list[Choice]:
        request = made.request
        if not request.model and request.quality == Quality.PREMIUM:
            standard = self._market.standard(made)
            return [standard] if standard is not None and standard != used else []
        model = self._market.model(used.model)
        if model is None or model.kind is not Kind.IMAGE:
            return []
        own = model.image_prices(size=used.size, quality=used.quality)
        return [
            used._replace(quality=quality)
            for quality in model.qualities
            # Its price says which of two qualities is the lower one.
            if own
            and max(model.image_prices(size=used.size, quality=quality), default=0) < max(own)
        ]

    def insights(self) -> list[Insight]:
        """Return the next lower quality that saves something, for each that was used."""
        found = []
        for (kind, used), by_choice in self._against.sums.items():
            saving = [(made.saved, choice) for choice, made in by_choice.items() if made.saved > 0]
            if not saving:
                continue
            # What saves least is the nearest.
            _, choice = min(saving)
            made = by_choice[choice]
            found.append(
                Insight(
                    kind=InsightKind.LOWER_QUALITY,
                    generation_kind=kind,
                    used=used,
                    instead=choice,
                    paid=made.paid,
                    saved=made.saved,
                    attempt_count=made.count,
                    generation_ids=made.generation_ids,
                    summary=_summary(used, choice),
                    method=METHOD,
                )
            )
        return found


def _summary(used: Choice, choice: Choice) -> str:
    if used.model == choice.model:
        return f"Ask {used.model} for {choice.quality} in place of {used.quality}."
    return f"Ask for `standard`, which is {choice}, in place of `premium`, which was {used}."
