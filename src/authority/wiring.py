"""The part of the wiring that is about what operators use, and about the cache."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

import grpc

from authority.ledger.cache import PostgresCache
from authority.ledger.cache_search import PostgresSearch
from authority.ledger.database import Database
from authority.ledger.dead_letters import PostgresDeadLetters
from authority.ledger.jobs import PostgresJobs
from authority.queue.jobs import QueuedJobs
from authority.queue.levers import QueueLevers
from authority.queue.reading import QueueReader
from authority.recovery.reversals import Reversals
from authority.rpc.cache_servicer import CacheServicer
from authority.rpc.queue_servicer import QueueServicer
from authority.rpc.shield import Shield
from authority.usecases.cache import CacheContext, get_policy
from authority.usecases.context import Context
from authority.usecases.generations import GenerationContext
from authority.usecases.near import NearSearch
from authority.usecases.queues import QueueContext
from authority.v1 import cache_service_pb2_grpc, queue_service_pb2_grpc
from generations.catalogue import Catalogue
from generations.models import Kind
from similarity.policy import CachePolicy


def add_queue_service(
    server: grpc.aio.Server,
    database: Database,
    jobs: QueuedJobs,
    generations: GenerationContext,
    shield: Shield,
) -> None:
    """Let a server serve QueueService."""
    context = QueueContext(
        PostgresJobs(database),
        QueueReader(jobs),
        QueueLevers(jobs),
        PostgresDeadLetters(database),
        generations,
        _now,
    )
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(
        QueueServicer(context, shield), server
    )


class Caching(NamedTuple):
    """What the authority has of the similarity cache."""

    context: CacheContext
    near: NearSearch
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
    cache = CacheContext(context, store, _now)

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
    return Caching(cache, near, Reversals(cache))


def add_cache_service(
    server: grpc.aio.Server, caching: Caching, generations: GenerationContext, shield: Shield
) -> None:
    """Let a server serve CacheService."""
    cache_service_pb2_grpc.add_CacheServiceServicer_to_server(
        CacheServicer(caching.context, generations, shield), server
    )


def _now() -> datetime:
    # As Postgres and the workers count, whatever the clock of budgets is moved by.
    return datetime.now(UTC)  # noqa: TID251  # The clock that others are given.
