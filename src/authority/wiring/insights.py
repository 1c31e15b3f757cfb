"""The wiring of suggestions and what-ifs."""

from __future__ import annotations

import grpc

from authority.domain.replay.payment import CreditPrices
from authority.ledger.database import Database
from authority.ledger.history import PostgresHistory
from authority.ledger.insights import PostgresPast
from authority.rpc.insight_servicer import InsightServicer
from authority.usecases.cache import get_policy
from authority.usecases.context import Context
from authority.usecases.generations import GenerationContext
from authority.usecases.insights import InsightContext
from authority.v1 import insight_service_pb2_grpc
from authority.wiring.caching import Caching
from similarity.policy import CachePolicy


def add_insight_service(
    server: grpc.aio.Server,
    database: Database,
    context: Context,
    caching: Caching,
    generations: GenerationContext,
) -> None:
    """Let a server serve InsightService."""

    async def cache_policy(account: str) -> CachePolicy:
        return (await get_policy(caching.context, account)).policy

    async def credit_prices() -> CreditPrices:
        listed = await context.ledger.price_list(0)
        return {(price.kind, price.tier): price.credits for price in listed.prices}

    insights = InsightContext(
        context,
        PostgresHistory(database),
        PostgresPast(database),
        generations.catalogue,
        caching.providers,
        credit_prices,
        cache_policy,
        generations.today,
    )
    insight_service_pb2_grpc.add_InsightServiceServicer_to_server(InsightServicer(insights), server)
