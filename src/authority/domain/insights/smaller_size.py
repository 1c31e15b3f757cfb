"""Would the next smaller size have done?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from authority.domain.insights.alternatives import extent, has_same_shape, used_by
from authority.domain.insights.comparison import Comparison
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, InsightKind, Sum


class SmallerSize(Comparison):
    """Tells the nearest size that saves something, for each that was used."""

    kind = InsightKind.SMALLER_SIZE
    method = (
        "Each was priced anew by the same model and quality at the smaller size: what the provider "
        "billed where that would be the same, else the most that it could have cost."
    )

    def _alternatives(self, made: Made) -> Iterable[Choice]:
        used = used_by(made)
        model, now = self._market.model(used.model), extent(used.size)
        if model is None or now is None:
            return []
        return [
            used._replace(size=size)
            for size in model.sizes
            if (other := extent(size)) is not None and other < now
        ]

    def _best(self, used: Choice, saving: Mapping[Choice, Sum]) -> Choice:
        def nearness(choice: Choice) -> tuple[bool, int, int]:
            is_alike = has_same_shape(used.size, choice.size)
            return is_alike, extent(choice.size) or 0, saving[choice].saved

        return max(saving, key=nearness)

    def _summary(self, used: Choice, choice: Choice) -> str:
        return f"Make {used.size} as {choice.size} with {used.model}."
