"""The authority without its servers: what decides, what remembers, what repairs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from authority.background import cancelled
from authority.config import AuthoritySettings
from authority.domain.errors import Unavailable
from authority.hotstate.clock import HotClock
from authority.hotstate.leases import HotStoreLeases
from authority.hotstate.store import HotStore, connect
from authority.hotstate.submissions import HotSubmissionRates
from authority.ledger.abuse import PostgresAbuse
from authority.ledger.audit import AuditReader
from authority.ledger.database import Database, make_pool, wait_for_postgres
from authority.ledger.feed import PostgresFeed
from authority.ledger.generations import PostgresGenerations
from authority.ledger.health import HealthReader
from authority.ledger.journal import Journal
from authority.ledger.leases import PostgresLeases
from authority.ledger.migrate import pending
from authority.ledger.store import LedgerStore
from authority.ledger.usage_audit import UsageAudit
from authority.queue.jobs import QueuedJobs
from authority.recovery.audit import Auditor, Report
from authority.recovery.epoch import Epochs
from authority.recovery.lease_audit import LeaseAudit
from authority.recovery.leases import LeaseKeeper
from authority.recovery.outbox import Outbox
from authority.recovery.sweep import Sweeper
from authority.recovery.tenants import Tenants
from authority.usecases.abuse import AbuseGuard
from authority.usecases.context import Context
from authority.usecases.generations import GenerationContext
from authority.usecases.leases import Leases
from authority.usecases.locate import Locator
from authority.usecases.policies import Policies
from authority.usecases.submission_rates import Submitting
from authority.usecases.window_loads import WindowLoads
from authority.v1 import (
    admin_service_pb2,
)
from authority.wiring.caching import Caching, make_caching
from generations.catalogue import BadCatalogue, Catalogue

_VERSION = version("paymaster")  # is read from a file
_START_SECONDS = 15.0
# Of the journal alone: one writes what gathers, others what was left behind in outboxes. A pool
# gives its connections in turn, and a server process that has just written does it again for less.
_JOURNAL_CONNECTIONS_MAX = 4


class StartError(Exception):
    """The authority can't start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Core:
    """The authority without its server: what decides, what remembers, what repairs."""

    context: Context
    locator: Locator
    hot: HotStore
    ledger: LedgerStore
    database: Database
    journal: Journal
    epochs: Epochs
    tenants: Tenants
    sweeper: Sweeper
    outbox: Outbox
    health: HealthReader
    auditor: Auditor
    generations: GenerationContext
    feed: PostgresFeed
    jobs: QueuedJobs
    caching: Caching
    keeper: LeaseKeeper
    abuse: AbuseGuard

    async def audit(self, tenant: str) -> Report:
        """Audit one tenant, or all if it is ''. Raises Unavailable."""
        tenants = [tenant] if tenant else await self.ledger.opened_tenants()
        return await self.auditor.audit(tenants, whole=not tenant)

    async def serves(self) -> bool:
        """Say whether both stores are there."""
        try:
            await self.hot.time_ms()
            await self.database.rows("SELECT 1", {})
        except Unavailable:
            return False
        return True

    async def status(self) -> admin_service_pb2.GetStatusResponse:
        """Say how things are, also while a store is away."""
        response = admin_service_pb2.GetStatusResponse(version=_VERSION, epoch=self.hot.epoch or 0)
        with suppress(Unavailable):
            await self.hot.time_ms()
            response.hot_store_ok = True
        with suppress(Unavailable):
            counts = await self.generations.generations.count_open()
            response.queued_count, response.running_count = counts
            response.ledger_ok = True
        response.workers.extend(
            admin_service_pb2.WorkerStatus(
                worker=beat.worker,
                slot_count=beat.slot_count,
                running_count=len(beat.running),
                providers=beat.providers,
            )
            for beat in await self.jobs.beats()
        )
        return response


@asynccontextmanager
async def running_core(settings: AuthoritySettings) -> AsyncIterator[Core]:
    """Open the stores and run the journal. Raises StartError."""
    try:
        catalogue = await asyncio.to_thread(Catalogue.load, settings.catalogue)
    except BadCatalogue as error:
        raise StartError(f"PAYMASTER_CATALOGUE: {error}") from None
    async with AsyncExitStack() as stack:
        database_url = settings.database_url.get_secret_value()
        if problem := await wait_for_postgres(database_url, _START_SECONDS):
            raise StartError(f"DATABASE_URL: Postgres can't be used: {problem}")
        pool = make_pool(database_url, size_max=settings.pool_size_max)
        journal_pool = make_pool(database_url, size_max=_JOURNAL_CONNECTIONS_MAX)
        for each in (pool, journal_pool):
            stack.push_async_callback(each.close)
            await each.open()
        redis = connect(settings.redis_url.get_secret_value())
        stack.push_async_callback(redis.aclose)
        await _check_password(redis)
        clock = HotClock(offset_ms=settings.clock_offset_ms)
        jobs = QueuedJobs(settings.redis_url.get_secret_value())
        stack.push_async_callback(jobs.aclose)
        feed = PostgresFeed(database_url)
        store = HotStore(redis, clock)
        databases = Database(pool), Database(journal_pool)
        core = _wire(*databases, store, jobs, feed, catalogue, settings.embedder)
        await _check_schema(core.database)
        journal = asyncio.create_task(core.journal.run(), name="journal")
        stack.push_async_callback(cancelled, journal)
        # Nobody may be waiting for these any more, and they use the stores' connections.
        for shared in (
            core.context.policies,
            core.context.loads,
            core.context.leases,
            core.tenants,
        ):
            stack.push_async_callback(shared.stop)
        with suppress(Unavailable):
            await core.epochs.ensure()
        yield core


def _wire(
    database: Database,
    journal_database: Database,
    hot: HotStore,
    jobs: QueuedJobs,
    feed: PostgresFeed,
    catalogue: Catalogue,
    embedder: str,
) -> Core:
    ledger = LedgerStore(database, hot.clock)
    outbox = Outbox(hot)
    journal = Journal(journal_database, outbox.trim, outbox.waiting)
    epochs = Epochs(hot, database)
    tenants = Tenants(hot, database, journal, outbox, epochs)
    policies = Policies(ledger)
    leased, hot_leases = PostgresLeases(database), HotStoreLeases(hot)
    loads = WindowLoads(ledger, leased, hot)
    leases = Leases(leased, hot_leases, loads, tenants.open)
    context = Context(hot, ledger, journal, policies, hot.clock, tenants.open, leases, loads)
    today = partial(_today, hot.clock)
    abuse = AbuseGuard(context, PostgresAbuse(database))
    caching = make_caching(database, context, jobs, catalogue, today, embedder)
    generations = GenerationContext(
        PostgresGenerations(database),
        feed,
        jobs,
        policies,
        catalogue,
        today,
        caching.near,
        Submitting(context, HotSubmissionRates(hot), abuse),
    )
    locator = Locator()
    sweeper = Sweeper(
        context=context,
        locator=locator,
        hot=hot,
        ledger=ledger,
        database=database,
        journal=journal,
        outbox=outbox,
        epochs=epochs,
    )
    health = HealthReader(database, hot.clock.now_ms)
    audits = UsageAudit(database), LeaseAudit(leased, hot_leases)
    auditor = Auditor(hot, AuditReader(database), outbox, *audits, health.record_audit)
    return Core(
        context,
        locator,
        hot,
        ledger,
        database,
        journal,
        epochs,
        tenants,
        sweeper,
        outbox,
        health,
        auditor,
        generations,
        feed,
        jobs,
        caching,
        LeaseKeeper(leases, leased, hot.clock),
        abuse,
    )


def _today(clock: HotClock) -> date:
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()


async def _check_password(redis: Redis) -> None:
    """Refuse to start with a wrong password; a store that is merely away may come yet."""
    try:
        await redis.ping()
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        raise StartError(f"REDIS_URL: the server refuses these credentials: {error}") from None
    except (RedisError, OSError):
        pass


async def _check_schema(database: Database) -> None:
    async with database.connection() as connection:
        missing = await pending(connection)
    if missing:
        raise StartError(
            f"The database lacks the migrations {', '.join(missing)}: "
            "run `paymaster migrate` first."
        )
