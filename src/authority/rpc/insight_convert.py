"""From the domain's values to the messages of InsightService."""

from __future__ import annotations

from authority.domain.insights.insight import Choice, Insight
from authority.domain.insights.score import FORMULA, Efficiency
from authority.domain.replay.player import Outcome
from authority.rpc.convert import set_time
from authority.rpc.generation_convert import KINDS
from authority.usecases.insights import Insights
from authority.usecases.what_if import Replayed
from authority.v1 import insight_service_pb2 as messages
from authority.v1 import resources_pb2
from generations.models import Kind


def insights_to_proto(found: Insights) -> messages.ListInsightsResponse:
    """Return the proto's message."""
    reviewed = found.reviewed
    response = messages.ListInsightsResponse(
        insights=map(_insight, reviewed.insights),
        efficiency=_efficiency(reviewed.efficiency),
        generation_count=reviewed.generation_count,
        attempt_count=reviewed.attempt_count,
        cached_count=reviewed.cached_count,
        left_out_count=found.past.left_out,
    )
    set_time(response.start_time, found.span.start_ms)
    set_time(response.end_time, found.span.end_ms)
    return response


def _insight(insight: Insight) -> messages.Insight:
    return messages.Insight(
        kind=messages.InsightKind.Value(f"INSIGHT_KIND_{insight.kind}"),
        generation_kind=KINDS[Kind(insight.generation_kind)],
        used=_choice(insight.used),
        instead=_choice(insight.instead),
        paid=insight.paid,
        saved=insight.saved,
        attempt_count=insight.attempt_count,
        generation_ids=insight.generation_ids,
        summary=insight.summary,
        method=insight.method,
        cause=insight.cause,
        tokens=insight.tokens,
        presumed_count=insight.presumed_count,
        retire_date=insight.retire_date.isoformat() if insight.retire_date else "",
    )


def _choice(choice: Choice) -> messages.InsightChoice:
    return messages.InsightChoice(**choice._asdict())


def _efficiency(efficiency: Efficiency) -> messages.EfficiencyScore:
    return messages.EfficiencyScore(
        **efficiency._asdict(), score_ppm=efficiency.score_ppm, formula=FORMULA
    )


def replayed_to_proto(found: Replayed) -> messages.ReplayResponse:
    """Return the proto's message."""
    response = messages.ReplayResponse(
        actual=_outcome(found.actual),
        as_is=_outcome(found.as_is),
        what_if=_outcome(found.what_if),
        assumptions=found.assumptions,
        left_out_count=found.past.left_out,
    )
    set_time(response.start_time, found.span.start_ms)
    set_time(response.end_time, found.span.end_ms)
    return response


def _outcome(outcome: Outcome) -> messages.ReplayOutcome:
    message = messages.ReplayOutcome(
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
        granted=[
            resources_pb2.Leg(unit=resources_pb2.Unit.Value(f"UNIT_{unit}"), amount=amount)
            for unit, amount in sorted(outcome.granted.items())
        ],
    )
    for blame, count in outcome.denials.most_common():
        denial = message.denials.add(
            reason=blame.reason,
            limiting_account=blame.account,
            budget=blame.budget,
            generation_count=count,
        )
        set_time(denial.first_time, outcome.first_ms[blame])
    return message
