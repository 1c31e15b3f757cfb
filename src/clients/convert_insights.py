"""Suggestions and replays, from the proto's messages to the values that callers see."""

from __future__ import annotations

from datetime import date

from authority.v1 import insight_service_pb2 as messages
from authority.v1 import resources_pb2
from clients import insight_types as types
from clients.amounts import Leg, Unit
from clients.convert import time_from_proto, word
from clients.convert_generations import kind_from_proto


def insights_from_proto(response: messages.ListInsightsResponse) -> types.Insights:
    """Return what was found."""
    found = response.efficiency
    return types.Insights(
        insights=tuple(map(_insight, response.insights)),
        efficiency=types.EfficiencyScore(
            score_ppm=found.score_ppm if found.HasField("score_ppm") else None,
            paid=found.paid,
            saved_by_cache=found.saved_by_cache,
            failures=found.failures,
            duplicates=found.duplicates,
            dearer=found.dearer,
            formula=found.formula,
        ),
        start_time=time_from_proto(response.start_time),
        end_time=time_from_proto(response.end_time),
        generation_count=response.generation_count,
        attempt_count=response.attempt_count,
        cached_count=response.cached_count,
        left_out_count=response.left_out_count,
    )


def replayed_from_proto(response: messages.ReplayResponse) -> types.Replayed:
    """Return what would have been."""
    return types.Replayed(
        actual=_outcome(response.actual),
        as_is=_outcome(response.as_is),
        what_if=_outcome(response.what_if),
        assumptions=tuple(response.assumptions),
        start_time=time_from_proto(response.start_time),
        end_time=time_from_proto(response.end_time),
        left_out_count=response.left_out_count,
    )


def _insight(insight: messages.Insight) -> types.Insight:
    return types.Insight(
        kind=word(types.InsightKind, messages.InsightKind, "INSIGHT_KIND_", insight.kind),
        generation_kind=kind_from_proto(insight.generation_kind),
        used=_choice(insight.used),
        instead=_choice(insight.instead),
        paid=insight.paid,
        saved=insight.saved,
        attempt_count=insight.attempt_count,
        generation_ids=tuple(insight.generation_ids),
        summary=insight.summary,
        method=insight.method,
        cause=insight.cause,
        tokens=insight.tokens,
        presumed_count=insight.presumed_count,
        retire_date=date.fromisoformat(insight.retire_date) if insight.retire_date else None,
    )


def _choice(choice: messages.InsightChoice) -> types.InsightChoice:
    return types.InsightChoice(choice.provider, choice.model, choice.size, choice.quality)


def _outcome(outcome: messages.ReplayOutcome) -> types.ReplayOutcome:
    return types.ReplayOutcome(
        generation_count=outcome.generation_count,
        made_count=outcome.made_count,
        downgraded_count=outcome.downgraded_count,
        cached_count=outcome.cached_count,
        denied_count=outcome.denied_count,
        impossible_count=outcome.impossible_count,
        failed_count=outcome.failed_count,
        actual=outcome.actual,
        charged=outcome.charged,
        refunded=outcome.refunded,
        granted=tuple(
            Leg(word(Unit, resources_pb2.Unit, "UNIT_", leg.unit), leg.amount)
            for leg in outcome.granted
        ),
        denials=tuple(
            types.ReplayDenial(
                denial.reason,
                denial.limiting_account,
                denial.budget,
                denial.generation_count,
                time_from_proto(denial.first_time),
            )
            for denial in outcome.denials
        ),
    )
