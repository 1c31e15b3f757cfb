"""What a replay takes for granted, told with every answer."""

from __future__ import annotations

_ALWAYS = (
    (
        "Generations are replayed at the moments at which their Reserves were decided and settled; "
        "what windows had counted before is replayed from their beginning on."
    ),
    (
        "Budgets, grants and limits are those of today, of the account and of those below it. "
        "Those above it, and what was reserved otherwise than for generations, are left out."
    ),
    (
        "What was denied in reality has no bill: if the replay makes it, it costs its estimate. "
        "Refunds are not replayed."
    ),
)
_PLAN = (
    "The account has had the plan since before the first generation; its one-off grants were whole "
    "then."
)
_MODEL = (
    "Every generation of the model's kind is made by it at once, at the same quality or class, or "
    "its default one. Tokens and seconds count as billed, else the most that it could have "
    "cost. What failed for good is not tried anew."
)


def assumptions(*, plan: str, model: str) -> tuple[str, ...]:
    """Return what was taken for granted."""
    return (*_ALWAYS, *((_PLAN,) if plan else ()), *((_MODEL,) if model else ()))
