"""The only wiring: from settings to a running authority."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import grpc

from authority.alerting.watch import Watch
from authority.background import cancelled
from authority.config import AuthoritySettings
from authority.core import Core, StartError, running_core
from authority.domain.tokens import Token
from authority.ledger.api_keys import PostgresApiKeys
from authority.ledger.history import PostgresHistory
from authority.recovery.audit import Report
from authority.recovery.corrections import Corrections
from authority.recovery.rebuild import Rebuilder
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
from authority.usecases.bills import BillContext
from authority.usecases.credentials import Credentials
from authority.usecases.health import SharedExamination
from authority.usecases.past import Past
from authority.v1 import (
    admin_service_pb2_grpc,
    budget_service_pb2_grpc,
    generation_service_pb2_grpc,
)
from authority.web.artifacts import ArtifactPages
from authority.web.server import WebPortInUse, listen, serving
from authority.wiring.alerts import Alerting, add_alert_service, make_alerting
from authority.wiring.caching import add_cache_service
from authority.wiring.health import LookedAt, add_health_service, make_examination
from authority.wiring.insights import add_insight_service
from authority.wiring.queues import add_queue_service, make_queue_context
from authority.wiring.reconciling import add_reconciliation_service, make_reconciling
from authority.wiring.usage import add_usage_service, make_projector
from authority.wiring.watching import make_watch
from generations.artifact_locations import BadLocation
from generations.artifacts import ArtifactStore

_HEALTH_SECONDS = 1.0


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

        catalogue = core.generations.catalogue
        bills = make_reconciling(core.database, core.context, core.locator, catalogue)
        alerting = make_alerting(settings, core.database, core.context, core.hot.clock)
        tasks: list[asyncio.Task[None]] = []
        examination = make_examination(_looked_at(core, tasks, artifacts))
        parts = _Parts(
            core,
            bills,
            alerting,
            api_keys,
            examination,
            artifacts,
            web.urls,
            shield,
            draining,
            tasks,
        )
        server = RpcServer(
            credentials=credentials,
            reuse_port=settings.reuse_port,
            register=partial(_register, parts),
        )
        try:
            port = await server.start(settings.host, settings.port, _tls_files(settings))
        except BadCertificate as error:
            raise StartError(str(error)) from None
        tasks += [
            asyncio.create_task(work, name=name)
            for name, work in _background(parts, server, settings).items()
        ]
        try:
            yield RunningAuthority(core, server, port, draining, web.port)
        finally:
            draining.set()
            await server.stop(settings.drain_seconds)
            await shield.drain()
            for task in tasks:
                await cancelled(task)
            await examination.stop()
            await alerting.webhooks.aclose()


class _Parts(NamedTuple):
    """What the services and the background work are made of."""

    core: Core
    bills: BillContext
    alerting: Alerting
    api_keys: ApiKeys
    examination: SharedExamination
    artifacts: ArtifactStore
    urls: ArtifactUrls
    shield: Shield
    draining: asyncio.Event
    tasks: list[asyncio.Task[None]]  # what runs beside the calls, once it does


def _register(parts: _Parts, server: grpc.aio.Server) -> None:
    """Let a server serve every service."""
    core, shield = parts.core, parts.shield
    operations = Operations(core.context, core.locator, Intake())
    past = Past(core.context, PostgresHistory(core.database))
    rebuilder = Rebuilder(core.epochs, core.tenants, core.ledger)
    budgets = BudgetServicer(core.context, operations, past, shield, parts.draining)
    admin = AdminServicer(
        core.context,
        partial(_audit, parts),
        core.status,
        parts.api_keys,
        shield,
        past,
        rebuilder.rebuild,
    )
    budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(budgets, server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
    makes = GenerationServicer(core.generations, parts.artifacts, parts.urls, parts.draining)
    generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(makes, server)
    add_health_service(server, parts.examination)
    add_queue_service(server, core.database, core.jobs, core.generations, shield)
    add_cache_service(server, core.caching, core.generations, shield)
    add_usage_service(server, core.context, core.database)
    add_reconciliation_service(server, parts.bills, shield)
    add_alert_service(server, parts.alerting, shield)
    add_insight_service(server, core.database, core.context, core.caching, core.generations)


async def _audit(parts: _Parts, tenant: str) -> Report:
    """Audit one tenant or all, so that who asks GetHealth after it is told of what it found."""
    report = await parts.core.audit(tenant)
    parts.examination.forget()
    return report


def _looked_at(
    core: Core, tasks: Sequence[asyncio.Task[None]], artifacts: ArtifactStore
) -> LookedAt:
    """Return what GetHealth looks at."""
    return LookedAt(
        core.hot,
        core.ledger,
        core.journal,
        core.outbox,
        core.health,
        make_queue_context(core.database, core.jobs, core.generations),
        tasks,
        artifacts.folder,
    )


def _background(
    parts: _Parts, server: RpcServer, settings: AuthoritySettings
) -> dict[str, Coroutine[Any, Any, None]]:
    """Return what runs beside the calls, by its name, until it is cancelled."""
    core = parts.core
    return {
        "sweeper": core.sweeper.run(),
        "leases": core.keeper.run(),
        "abuse": core.abuse.run(),
        "feed": core.feed.run(),
        "reversals": core.caching.reversals.run(),
        "corrections": Corrections(parts.bills).run(),
        "usage": make_projector(
            core.database, core.journal, core.context.clock.now_ms, settings
        ).run(),
        "watch": _watch(core, settings).run(),
        "thresholds": parts.alerting.thresholds.run(),
        "deliveries": parts.alerting.deliveries.run(),
        "health": _report_health(core, server),
    }


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


def _watch(core: Core, settings: AuthoritySettings) -> Watch:
    return make_watch(
        settings.database_url.get_secret_value(),
        core.database,
        core.context,
        core.auditor,
        core.ledger.opened_tenants,
        timedelta(days=settings.alert_retention_days),
    )


async def _report_health(core: Core, server: RpcServer) -> None:
    while True:
        await server.set_serving(serving=await core.serves())
        await asyncio.sleep(_HEALTH_SECONDS)
