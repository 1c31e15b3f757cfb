"""The only wiring: from settings to a running authority."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import NamedTuple

import grpc
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from authority.config import AuthoritySettings
from authority.domain.errors import Unavailable
from authority.domain.tokens import Token
from authority.hotstate.clock import HotClock
from authority.hotstate.store import HotStore, connect
from authority.ledger.api_keys import PostgresApiKeys
from authority.ledger.audit import AuditReader
from authority.ledger.database import Database, make_pool, wait_for_postgres
from authority.ledger.feed import PostgresFeed
from authority.ledger.generations import PostgresGenerations
from authority.ledger.history import PostgresHistory
from authority.ledger.journal import Journal
from authority.ledger.migrate import pending
from authority.ledger.store import LedgerStore
from authority.queue.jobs import QueuedJobs
from authority.recovery.audit import Auditor, Report
from authority.recovery.epoch import Epochs
from authority.recovery.outbox import Outbox
from authority.recovery.rebuild import Rebuilder
from authority.recovery.sweep import Sweeper
from authority.recovery.tenants import Tenants
from authority.rpc.admin_servicer import AdminServicer
from authority.rpc.budget_servicer import BudgetServicer
from authority.rpc.generation_servicer import GenerationServicer
from authority.rpc.intake import Intake
from authority.rpc.operations import Operations
from authority.rpc.server import RpcServer
from authority.rpc.shield import Shield
from authority.rpc.tls import BadCertificate, TlsFiles, server_credentials
from authority.usecases.api_keys import ApiKeys
from authority.usecases.artifact_urls import ArtifactUrls
from authority.usecases.context import Context
from authority.usecases.credentials import Credentials
from authority.usecases.generations import GenerationContext
from authority.usecases.locate import Locator
from authority.usecases.past import Past
from authority.usecases.policies import Policies
from authority.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    budget_service_pb2_grpc,
    generation_service_pb2_grpc,
)
from authority.web.artifacts import ArtifactPages
from authority.web.server import WebPortInUse, listen, serving
from authority.wiring import Caching, add_cache_service, add_queue_service, make_caching
from generations.artifact_locations import BadLocation
from generations.artifacts import ArtifactStore
from generations.catalogue import BadCatalogue, Catalogue

_VERSION = version("paymaster")  # is read from a file
_START_SECONDS = 15.0
_HEALTH_SECONDS = 1.0
_CANCEL_AGAIN_SECONDS = 0.5


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
    auditor: Auditor
    generations: GenerationContext
    feed: PostgresFeed
    jobs: QueuedJobs
    caching: Caching

    async def audit(self, tenant: str) -> Report:
        """Audit one tenant, or all if it is ''. Raises Unavailable."""
        return await self.auditor.audit([tenant] if tenant else await self.ledger.opened_tenants())

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
        stack.push_async_callback(pool.close)
        await pool.open()
        redis = connect(settings.redis_url.get_secret_value())
        stack.push_async_callback(redis.aclose)
        await _check_password(redis)
        clock = HotClock(offset_ms=settings.clock_offset_ms)
        jobs = QueuedJobs(settings.redis_url.get_secret_value())
        stack.push_async_callback(jobs.aclose)
        feed = PostgresFeed(database_url)
        store = HotStore(redis, clock)
        core = _wire(Database(pool), store, jobs, feed, catalogue, settings.embedder)
        await _check_schema(core.database)
        journal = asyncio.create_task(core.journal.run(), name="journal")
        stack.push_async_callback(_cancelled, journal)
        # Nobody may be waiting for these any more, and they use the stores' connections.
        for shared in (core.context.policies, core.context.loads, core.tenants):
            stack.push_async_callback(shared.stop)
        with suppress(Unavailable):
            await core.epochs.ensure()
        yield core


def _wire(
    database: Database,
    hot: HotStore,
    jobs: QueuedJobs,
    feed: PostgresFeed,
    catalogue: Catalogue,
    embedder: str,
) -> Core:
    ledger = LedgerStore(database, hot.clock)
    outbox = Outbox(hot)
    journal = Journal(database, outbox.trim, outbox.waiting)
    epochs = Epochs(hot, database)
    tenants = Tenants(hot, database, journal, outbox, epochs)
    policies = Policies(ledger)
    context = Context(hot, ledger, journal, policies, hot.clock, tenants.open)

    def today() -> date:
        return datetime.fromtimestamp(hot.clock.now_ms() / 1000, UTC).date()

    caching = make_caching(database, context, jobs, catalogue, today, embedder)
    generations = GenerationContext(
        PostgresGenerations(database), feed, jobs, policies, catalogue, today, caching.near
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
    auditor = Auditor(hot, AuditReader(database), outbox)
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
        auditor,
        generations,
        feed,
        jobs,
        caching,
    )


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


@dataclass(frozen=True, slots=True)
class RunningAuthority:
    """An authority that serves."""

    core: Core
    server: RpcServer
    port: int
    draining: asyncio.Event
    web_port: int | None


@asynccontextmanager
async def running_authority(settings: AuthoritySettings) -> AsyncIterator[RunningAuthority]:
    """Serve until the block ends; then let calls finish and write what is left.

    Raises:
        StartError: a store is away, its schema is old, or a file can't be used.
        PortInUse: another process listens there.

    """
    shield, draining = Shield(), asyncio.Event()
    try:
        artifacts = await ArtifactStore.open(settings.artifacts)
    except BadLocation as error:
        raise StartError(f"PAYMASTER_ARTIFACTS: {error}") from None
    async with running_core(settings) as core, _web(settings, core, artifacts) as web:
        store = PostgresApiKeys(core.database)
        root_token = settings.token.get_secret_value()
        if Token.parse(root_token):
            raise StartError(
                "PAYMASTER_TOKEN holds an API key, which can't be the root token too: unset it, or "
                "set a secret of its own."
            )
        credentials = Credentials(store, root_token, core.context.clock.now_ms)
        api_keys = ApiKeys(core.context, store, credentials)

        def register(server: grpc.aio.Server) -> None:
            operations = Operations(core.context, core.locator, Intake())
            past = Past(core.context, PostgresHistory(core.database))
            rebuilder = Rebuilder(core.epochs, core.tenants, core.ledger)
            budgets = BudgetServicer(core.context, operations, past, shield, draining)
            admin = AdminServicer(
                core.context,
                core.audit,
                core.status,
                api_keys,
                shield,
                past,
                rebuilder.rebuild,
            )
            budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(budgets, server)
            admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
            makes = GenerationServicer(core.generations, artifacts, web.urls, draining)
            generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(makes, server)
            add_queue_service(server, core.database, core.jobs, core.generations, shield)
            add_cache_service(server, core.caching, core.generations, shield)

        server = RpcServer(
            credentials=credentials,
            reuse_port=settings.reuse_port,
            register=register,
        )
        try:
            port = await server.start(settings.host, settings.port, _tls_files(settings))
        except BadCertificate as error:
            raise StartError(str(error)) from None
        tasks = [
            asyncio.create_task(core.sweeper.run(), name="sweeper"),
            asyncio.create_task(core.feed.run(), name="feed"),
            asyncio.create_task(core.caching.reversals.run(), name="reversals"),
            asyncio.create_task(_report_health(core, server), name="health"),
        ]
        try:
            yield RunningAuthority(core, server, port, draining, web.port)
        finally:
            draining.set()
            await server.stop(settings.drain_seconds)
            await shield.drain()
            for task in tasks:
                await _cancelled(task)


class _Web(NamedTuple):
    """What there is for browsers."""

    port: int | None
    urls: ArtifactUrls


@asynccontextmanager
async def _web(
    settings: AuthoritySettings, core: Core, artifacts: ArtifactStore
) -> AsyncIterator[_Web]:
    """Serve artifacts by HTTP, if there is a port for it. Raises StartError."""
    token, now_ms = _signing_secret(settings), core.context.clock.now_ms
    if settings.web_port is None:
        yield _Web(None, ArtifactUrls(token, settings.web_url, now_ms))
        return
    if tls := _tls_files(settings):
        try:
            await asyncio.to_thread(server_credentials, tls)
        except BadCertificate as error:
            raise StartError(str(error)) from None
    try:
        listener = listen(settings.host, settings.web_port, reuse_port=settings.reuse_port)
    except WebPortInUse as error:
        raise StartError(f"AUTHORITY_WEB_PORT: {error}") from None
    port = listener.getsockname()[1]
    scheme = "https" if settings.tls_certificate else "http"
    url = settings.web_url or f"{scheme}://{settings.host}:{port}"
    urls = ArtifactUrls(token, url, now_ms)
    pages = ArtifactPages(core.generations.generations, artifacts, urls)
    async with serving(listener, pages, certificate=settings.tls_certificate, key=settings.tls_key):
        yield _Web(port, urls)


def _signing_secret(settings: AuthoritySettings) -> str:
    """Return what URLs are signed by: the root token, else a secret of this process alone.

    Raises StartError where other processes would have to know it.
    """
    token = settings.token.get_secret_value()
    is_shared = settings.reuse_port or settings.web_port is None
    if not token and is_shared and (settings.web_url or settings.web_port is not None):
        raise StartError(
            "AUTHORITY_WEB_PORT and AUTHORITY_WEB_URL need PAYMASTER_TOKEN, by which URLs are "
            "signed, where more than one process signs them or shows what they are of."
        )
    return token or secrets.token_urlsafe()


def _tls_files(settings: AuthoritySettings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


async def _report_health(core: Core, server: RpcServer) -> None:
    while True:
        await server.set_serving(serving=await core.serves())
        await asyncio.sleep(_HEALTH_SECONDS)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """End a task that runs until cancelled.

    A wait inside a library may end at the very moment of the cancellation and swallow it, so a task
    that goes on is cancelled again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)
    with suppress(asyncio.CancelledError):
        await task
