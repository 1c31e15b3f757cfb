"""What-ifs: the generations of an account's last days, played again under other terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.errors import InvalidRequest
from authority.domain.ids import tenant_of
from authority.domain.insights.alternatives import Market
from authority.domain.insights.facts import PastGeneration
from authority.domain.insights.past import Past, Span
from authority.domain.policies import TenantPolicy
from authority.domain.ports import WindowCounts
from authority.domain.replay.actual import Actual
from authority.domain.replay.assumptions import assumptions
from authority.domain.replay.payment import CreditPrices
from authority.domain.replay.player import Outcome, Player
from authority.domain.replay.scenario import as_it_is, first_needed_ms, lasting_refs, under_plan
from authority.domain.replay.simulator import Simulator
from authority.domain.replay.workload import Workload, as_it_was, by_model
from authority.usecases.insights import GENERATIONS_MAX, InsightContext
from authority.usecases.turns import in_turns
from generations.catalogue import CatalogueError
from generations.models import Model


class Replayed(NamedTuple):
    """What was, what the replay makes of it, and what it would have been."""

    actual: Outcome
    as_is: Outcome
    what_if: Outcome
    assumptions: tuple[str, ...]
    span: Span
    past: Past


class _Workloads(NamedTuple):
    as_was: list[Workload]
    what_if: list[Workload]


async def replay(
    context: InsightContext, account: str, days: int, plan: str, model: str
) -> Replayed:
    """Return what would have become of an account's last days by another plan or model.

    Raises NotFound (the account or the plan), InvalidRequest (the model) and Unavailable.
    """
    span, tenant = context.span(days), tenant_of(account)
    found = _model(context, model) if model else None
    policy = await context.policy(account)
    accounts = policy.below(account)
    grants = await context.history.grants_at(accounts, span.end_ms)
    now = as_it_is(policy, account, grants)
    other = now
    if plan:
        wanted = await context.context.ledger.plan(plan)
        other = under_plan(policy, account, grants, wanted, span.start_ms)
    first_ms = min(first_needed_ms(terms, span.start_ms) for terms in (now, other))
    async with context.one_at_a_time():
        market = await context.market()
        # What windows had counted at the beginning is replayed as well.
        warm = Span(first_ms, span.end_ms)
        past = await context.past.open(tenant, accounts, warm, GENERATIONS_MAX)
        actual, loads = Actual(policy, span.start_ms), _Workloads([], [])
        async for page in context.past.pages(tenant, accounts, warm, past):
            await in_turns(_take_in(page, market, found, actual, loads))
        refs = {*lasting_refs(now), *lasting_refs(other)}
        before = await context.history.counts_at(tenant, refs, first_ms - 1) if refs else {}
        prices = await context.credit_prices()
        as_is, what_if = [
            await _play(terms, before, prices, span, workloads)
            for terms, workloads in ((now, loads.as_was), (other, loads.what_if))
        ]
    return Replayed(actual.outcome, as_is, what_if, assumptions(plan=plan, model=model), span, past)


def _model(context: InsightContext, name: str) -> Model:
    try:
        return context.catalogue.find(name, today=context.today())
    except CatalogueError as error:
        raise InvalidRequest.of("model", str(error)) from error


def _take_in(
    page: list[PastGeneration],
    market: Market,
    model: Model | None,
    actual: Actual,
    loads: _Workloads,
) -> Iterator[None]:
    for generation in page:
        actual.add(generation)
        was = as_it_was(generation, market)
        loads.as_was.append(was)
        loads.what_if.append(by_model(generation, market, model) if model else was)
        yield


async def _play(
    policy: TenantPolicy,
    before: dict[WindowRef, WindowCounts],
    prices: CreditPrices,
    span: Span,
    workloads: list[Workload],
) -> Outcome:
    player = Player(policy, Simulator(policy, before), prices, span.start_ms)
    await in_turns(player.play(workloads))
    return player.outcome
