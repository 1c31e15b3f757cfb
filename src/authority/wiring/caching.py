"""The wiring of the cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import NamedTuple

import grpc

from authority.ledger.cache import PostgresCache
from authority.ledger.cache_search import PostgresSearch
from authority.ledger.database import Database
from authority.queue.jobs import QueuedJobs
from authority.recovery.reversals import Reversals
from authority.rpc.cache_servicer import CacheServicer
from authority.rpc.shield import Shield
from authority.usecases.cache import CacheContext, get_policy
from authority.usecases.context import Context
from authority.usecases.generations import GenerationContext
from authority.usecases.near import NearSearch
from authority.v1 import cache_service_pb2_grpc
from authority.wiring.queues import wall_clock
from generations.catalogue import Catalogue
from generations.models import Kind
from similarity.policy import CachePolicy


class Caching(NamedTuple):
    """What the authority has of the similarity cache."""

    context: CacheContext
    near: NearSearch
    providers: Callable[[], Awaitable[set[str]]]
    reversals: Reversals


def make_caching(
    database: Database,
    context: Context,
    jobs: QueuedJobs,
    catalogue: Catalogue,
    today: Callable[[], date],
    embedder: str,
) -> Caching:
    """Wire what shows, steers and searches the cache."""
    store = PostgresCache(database)
    cache = CacheContext(context, store, wall_clock)

    async def policy_of(account: str) -> CachePolicy:
        return (await get_policy(cache, account)).policy

    async def providers() -> set[str]:
        beats = await jobs.beats()
        # Without a word of workers, whoever is in the catalogue may make it.
        return {name for beat in beats for name in beat.providers} or {
            model.provider for kind in Kind for model in catalogue.models(kind)
        }

    near = NearSearch(
        PostgresSearch(database, store),
        catalogue,
        policy_of=policy_of,
        providers=providers,
        today=today,
        embedder=embedder,
    )
    return Caching(cache, near, providers, Reversals(cache))


def add_cache_service(
    server: grpc.aio.Server, caching: Caching, generations: GenerationContext, shield: Shield
) -> None:
    """Let a server serve CacheService."""
    cache_service_pb2_grpc.add_CacheServiceServicer_to_server(
        CacheServicer(caching.context, generations, shield), server
    )
