"""Suggestions and what-ifs as tables."""

from __future__ import annotations

from collections.abc import Callable

from clients.insight_types import EfficiencyScore, Insight, Insights, Replayed, ReplayOutcome
from paymaster.cli.documents import time_text
from paymaster.cli.money import format_amount, format_usd
from paymaster.cli.output import Column, Table, minor, one_line, right, wide
from paymaster.cli.shares import share_text

_INSIGHTS = (
    right("saves"),
    right("of"),
    Column("kind"),
    minor("of_kind"),
    right("attempts"),
    wide("suggestion"),
    minor("used"),
    minor("instead"),
    minor("cause"),
)
_METHODS = (Column("kind"), wide("method"))
_SCORE = (
    right("efficiency"),
    right("paid"),
    right("saved_by_cache"),
    right("failures"),
    right("duplicates"),
    right("dearer"),
    minor("generations"),
    wide("formula"),
)
_REPLAY = (Column("figure"), right("was"), right("replayed_as_is"), right("what_if"))
_DENIALS = (
    Column("denied_in"),
    Column("reason"),
    Column("account"),
    Column("budget"),
    right("generations"),
    minor("first_time"),
)
_FIGURES: dict[str, Callable[[ReplayOutcome], str]] = {
    "generations": lambda outcome: str(outcome.generation_count),
    "made": lambda outcome: str(outcome.made_count),
    "downgraded": lambda outcome: str(outcome.downgraded_count),
    "cached": lambda outcome: str(outcome.cached_count),
    "denied": lambda outcome: str(outcome.denied_count),
    "impossible": lambda outcome: str(outcome.impossible_count),
    "failed": lambda outcome: str(outcome.failed_count),
    "cost": lambda outcome: format_usd(outcome.actual),
    "charged": lambda outcome: format_usd(outcome.charged),
    "refunded": lambda outcome: format_usd(outcome.refunded),
    "of_grants": lambda outcome: one_line(
        f"{format_amount(leg.amount, leg.unit)} {leg.unit}" for leg in outcome.granted
    ),
}


def insight_tables(found: Insights, *, with_method: bool) -> list[Table]:
    """Return the score, the suggestions, and how they were computed."""
    tables = [_score(found.efficiency, found.generation_count)]
    if found.insights:
        tables.append(Table(_INSIGHTS, [_row(insight) for insight in found.insights]))
    if with_method:
        methods = {insight.kind: insight.method for insight in found.insights}
        tables.append(Table(_METHODS, [[kind, method] for kind, method in methods.items()]))
    return tables


def replay_tables(found: Replayed) -> list[Table]:
    """Return the figures beside one another, and what has denied in each."""
    outcomes = {"was": found.actual, "as_is": found.as_is, "what_if": found.what_if}
    figures = [
        [name, *(figure(outcome) for outcome in outcomes.values())]
        for name, figure in _FIGURES.items()
    ]
    tables = [Table(_REPLAY, figures)]
    denials = [
        [
            name,
            denial.reason,
            denial.limiting_account or "-",
            denial.budget or "-",
            str(denial.generation_count),
            time_text(denial.first_time),
        ]
        for name, outcome in outcomes.items()
        for denial in outcome.denials
    ]
    if denials:
        tables.append(Table(_DENIALS, denials))
    return tables


def _score(score: EfficiencyScore, generation_count: int) -> Table:
    row = [
        share_text(score.score_ppm),
        format_usd(score.paid),
        format_usd(score.saved_by_cache),
        format_usd(score.failures),
        format_usd(score.duplicates),
        format_usd(score.dearer),
        str(generation_count),
        score.formula,
    ]
    return Table(_SCORE, [row])


def _row(insight: Insight) -> list[str]:
    return [
        format_usd(insight.saved),
        format_usd(insight.paid),
        insight.kind,
        insight.generation_kind,
        str(insight.attempt_count),
        insight.summary,
        str(insight.used) or "-",
        str(insight.instead) or "-",
        insight.cause or "-",
    ]
