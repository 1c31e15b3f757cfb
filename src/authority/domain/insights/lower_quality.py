"""Would the next lower quality have done?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from authority.domain.insights.alternatives import used_by
from authority.domain.insights.comparison import Comparison
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, InsightKind, Sum
from generations.models import Kind, Quality


class LowerQuality(Comparison):
    """Tells the next lower quality that saves something, for each that was used."""

    kind = InsightKind.LOWER_QUALITY
    method = (
        "Each was priced anew at the same size: by the same model at the lower quality or, where "
        "the request named no model, by what `standard` gets today. What the provider billed "
        "counts where that would be the same, else the most that it could have cost."
    )

    def _alternatives(self, made: Made) -> Iterable[Choice]:
        used, request = used_by(made), made.request
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

    def _best(self, used: Choice, saving: Mapping[Choice, Sum]) -> Choice:  # noqa: ARG002  # the signature of all
        # What saves least is the nearest.
        return min(saving, key=lambda choice: (saving[choice].saved, choice))

    def _summary(self, used: Choice, choice: Choice) -> str:
        if used.model == choice.model:
            return f"Ask {used.model} for {choice.quality} in place of {used.quality}."
        return f"Ask for `standard`, which is {choice}, in place of `premium`, which was {used}."
