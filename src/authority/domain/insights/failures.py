"""What was paid for attempts that brought nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from authority.domain.insights.facts import PastAttempt, PastGeneration
from authority.domain.insights.insight import Choice, Insight, InsightKind, Sum

METHOD = (
    "The ledger has what each failed attempt was charged, less what was given back. Those whose "
    "outcome nobody knows are in it at their estimate, as they were paid: see "
    "`presumed_count`, and reconcile them with the provider's bill."
)
_WAYS_OUT = {
    "content_refused": "The provider bills what it refuses: check prompts before they are sent.",
    "outcome_unknown": "Workers ended during calls: let them drain, and reconcile these.",
    "storage_failed": "It was made and could not be stored: look at the artifact store.",
    "timeout_unknown": "Reconcile these with the provider's bill.",
}


@dataclass(slots=True)
class _Failed:
    sum: Sum = field(default_factory=Sum)
    presumed_count: int = 0


class Failures:
    """Looks at every attempt that was paid and has failed."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Choice, str], _Failed] = {}
        self.paid = 0

    def add(self, generation: PastGeneration, attempt: PastAttempt) -> None:
        """Take in a failed attempt."""
        if attempt.paid <= 0 or attempt.option is None:
            return
        request, option = generation.request, attempt.option
        used = Choice(option.provider, option.model)
        failed = self._found.setdefault((request.kind, used, attempt.error), _Failed())
        failed.sum.add(generation.generation_id, attempt.paid)
        failed.presumed_count += attempt.presumed_spent
        self.paid += attempt.paid

    def insights(self) -> list[Insight]:
        """Return what each reason has cost at each model."""
        return [
            Insight(
                kind=InsightKind.FAILURES,
                generation_kind=kind,
                used=used,
                cause=cause,
                paid=failed.sum.paid,
                saved=failed.sum.paid,
                attempt_count=failed.sum.count,
                generation_ids=failed.sum.generation_ids,
                summary=f"Paid for {used.model} and got nothing: {cause}. "
                + _WAYS_OUT.get(cause, "Look at these generations' attempts."),
                method=METHOD,
                presumed_count=failed.presumed_count,
            )
            for (kind, used, cause), failed in self._found.items()
        ]
