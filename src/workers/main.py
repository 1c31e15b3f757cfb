"""Wires a worker process up, and runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
import uuid_utils
import uvloop
from arq.connections import ArqRedis
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from redis.exceptions import RedisError

from clients import AuthorityClient, CacheClient, UsageClient, tls_credentials
from clients.channel import Client
from generations.artifact_locations import BadLocation
from generations.artifacts import ArtifactStore
from generations.catalogue import BadCatalogue, Catalogue
from generations.queue import open_pool
from workers import metrics
from workers.cache.booking import Booker
from workers.cache.cache import SimilarityCache
from workers.cache.embeddings import Embeddings, local_embeddings, openai_embeddings
from workers.cache.store import CacheStore
from workers.config import WorkerSettings, describe
from workers.database import DatabaseAway, Pool, make_pool, transaction
from workers.limits import Limits
from workers.pipeline import Pipeline
from workers.process import WorkerProcess
from workers.providers.printing import Printing
from workers.providers.registry import live_providers
from workers.providers.settings import ProviderSettings
from workers.reconciler import Reconciler
from workers.retention import Retention
from workers.runner import Runner
from workers.store import WorkStore
from workers.telemetry import configure_logging
from workers.terms import TermsOfAccounts
from workers.worker import BudgetWorker

_START_SECONDS = 15.0
_AUTHORITY_SECONDS = 10.0
_CONNECTIONS_MAX = 20

_Client = TypeVar("_Client", bound=Client)

log = structlog.get_logger("workers")


class StartError(Exception):
    """The worker can't start; the message says why and what to do."""


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  # The clock that others are given.


@asynccontextmanager
async def open_worker(
    settings: WorkerSettings, provider_settings: ProviderSettings
) -> AsyncIterator[WorkerProcess]:
    """Connect to everything and wire a worker. Raises StartError."""
    async with AsyncExitStack() as stack:
        providers = live_providers(provider_settings)
        for provider in providers.values():
            stack.push_async_callback(provider.aclose)
        if providers.keys() <= {Printing.name}:
            raise StartError(
                "No provider is switched on; set the key of one, such as OPENAI_API_KEY, "
                "or WORKERS_SANDBOX."
            )
        try:
            artifacts = await ArtifactStore.open(settings.artifacts)
        except BadLocation as error:
            raise StartError(f"PAYMASTER_ARTIFACTS: {error}") from None
        try:
            catalogue = Catalogue.load(settings.catalogue)
        except BadCatalogue as error:
            raise StartError(f"PAYMASTER_CATALOGUE: {error}") from None
        pool = await _open_database(settings)
        stack.push_async_callback(pool.close)
        redis = await _open_redis(settings)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        authority = await stack.enter_async_context(_open_client(settings, AuthorityClient))
        limits = Limits(redis, settings, lease_s=settings.lease_s)
        store = WorkStore(pool)
        embeddings = _open_embeddings(settings, provider_settings, authority, catalogue)
        stack.push_async_callback(embeddings.aclose)
        cache = SimilarityCache(await CacheStore.open(pool), artifacts, embeddings)
        booker = Booker(pool, await stack.enter_async_context(_open_client(settings, CacheClient)))
        usage = await stack.enter_async_context(_open_client(settings, UsageClient))
        pipeline = Pipeline(
            store,
            authority,
            providers,
            artifacts,
            catalogue,
            limits,
            cache,
            TermsOfAccounts(usage.get_credit_status).of,
            now,
            booker.wake,
        )
        days = settings.retention_days
        retention = None if days is None else Retention(pool, artifacts, timedelta(days=days))
        # Not the name alone: another process may have had it before.
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid_utils.uuid7()}"
        runner = Runner(store, pipeline.run, owner=owner, lease_s=settings.lease_s)
        workers = _make_workers(settings, runner, redis, owner)
        yield WorkerProcess(
            settings,
            redis,
            runner,
            workers,
            limits,
            Reconciler(pool, redis),
            retention,
            booker,
            embeddings,
            providers,
            now,
            now(),
        )


def _make_workers(
    settings: WorkerSettings, runner: Runner, redis: ArqRedis, owner: str
) -> list[BudgetWorker]:
    return [
        BudgetWorker(
            runner.run,
            kind,
            redis=redis,
            name=owner,
            slots=slots,
            lease_s=settings.lease_s,
            completion_wait_s=settings.completion_wait_s,
        )
        for kind, slots in settings.slots.items()
    ]


def _open_client(settings: WorkerSettings, client: type[_Client]) -> _Client:
    token = settings.token.get_secret_value()
    try:
        credentials = tls_credentials(settings.tls_ca, settings.tls_certificate, settings.tls_key)
    except ValueError as error:
        raise StartError(str(error)) from None
    try:
        return client(
            settings.address,
            token=token,
            timeout=_AUTHORITY_SECONDS,
            channel_credentials=credentials,
        )
    except ValueError as error:
        raise StartError(f"PAYMASTER_ADDRESS or PAYMASTER_TOKEN: {error}") from None


def _open_embeddings(
    settings: WorkerSettings,
    provider_settings: ProviderSettings,
    authority: AuthorityClient,
    catalogue: Catalogue,
) -> Embeddings:
    if settings.embedder != "openai":
        return local_embeddings(settings.embedder)
    key = provider_settings.openai_api_key
    if key is None:
        raise StartError("PAYMASTER_EMBEDDER is openai: set OPENAI_API_KEY too.")
    return openai_embeddings(
        authority, catalogue, key.get_secret_value(), provider_settings.openai_base_url
    )


async def _open_database(settings: WorkerSettings) -> Pool:
    size_max = min(sum(settings.slots.values()) + 4, _CONNECTIONS_MAX)
    pool = make_pool(settings.database_url.get_secret_value(), size_max=size_max)
    try:
        await pool.open(wait=True, timeout=_START_SECONDS)
        async with transaction(pool) as connection:
            cursor = await connection.execute("SELECT to_regclass('generation_attempt') AS found")
            row = await cursor.fetchone()
    except (PoolTimeout, DatabaseAway):
        await pool.close()
        raise StartError(
            "Postgres does not answer; check DATABASE_URL and that the server runs."
        ) from None
    if row is None or row["found"] is None:
        await pool.close()
        raise StartError("The database has no schema yet: run `paymaster migrate` first.")
    return pool


async def _open_redis(settings: WorkerSettings) -> ArqRedis:
    try:
        async with asyncio.timeout(_START_SECONDS):
            return await open_pool(settings.redis_url.get_secret_value())
    except ValueError as error:
        raise StartError(f"REDIS_URL: {error}") from None
    except (RedisError, OSError) as error:
        raise StartError(
            f"Redis does not answer ({type(error).__name__}); check REDIS_URL and that it runs."
        ) from None


async def serve(settings: WorkerSettings, provider_settings: ProviderSettings) -> None:
    """Work until the process is told to stop: once to let work end, twice to stop at once."""
    async with open_worker(settings, provider_settings) as process:
        if settings.metrics_port is not None:
            try:
                metrics.serve(settings.metrics_host, settings.metrics_port)
            except metrics.PortTaken as error:
                raise StartError(f"WORKERS_METRICS_PORT: {error}; choose another.") from None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop, number)
        log.info("worker_started", slots=dict(settings.slots), providers=list(process.providers))
        await process.run()
    log.info("worker_stopped")


def main() -> int:
    """Run a worker; return the exit code."""
    try:
        settings, provider_settings = WorkerSettings(), ProviderSettings()
    except ValidationError as error:
        print(f"error: {describe(error)}", file=sys.stderr)  # noqa: T201  # Logging is not set up.
        return 2
    configure_logging(settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, provider_settings))
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  # For whoever starts it.
        return 1
    return 0
