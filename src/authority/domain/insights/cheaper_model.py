"""Would another model of the same kind and class have made it for less?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from authority.domain.insights.comparison import Comparison
from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice, InsightKind, Sum


class CheaperModel(Comparison):
    """Tells the model that saves most, for each that was used."""

    kind = InsightKind.CHEAPER_MODEL
    method = (
        "Each was priced anew by every live model of the same class that has a published price at "
        "its size and takes its settings; the cheapest over all of them is shown. Tokens and "
        "seconds count as billed, else the most that it could have cost. Quality within a class is "
        "not compared."
    )

    def _alternatives(self, made: Made) -> Iterable[Choice]:
        return self._market.others(made)

    def _best(self, used: Choice, saving: Mapping[Choice, Sum]) -> Choice:  # noqa: ARG002  # the signature of all
        return max(saving, key=lambda choice: (saving[choice].saved, choice))

    def _summary(self, used: Choice, choice: Choice) -> str:
        return f"Use {choice} in place of {used}."
