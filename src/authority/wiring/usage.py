"""The wiring of what is told of use."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from authority.analytics.projector import Projector
from authority.config import AuthoritySettings
from authority.ledger.database import Database
from authority.ledger.journal import Journal
from authority.ledger.past_use import PostgresPastUse
from authority.ledger.usage import PostgresUsage
from authority.ledger.usage_export import PostgresUsageExport
from authority.ledger.usage_projection import UsageProjection
from authority.ledger.usage_upkeep import UsageUpkeep
from authority.rpc.usage_servicer import UsageServicer
from authority.usecases.context import Context
from authority.usecases.projection import Projections
from authority.usecases.usage import UsageContext
from authority.v1 import usage_service_pb2_grpc


def add_usage_service(server: grpc.aio.Server, context: Context, database: Database) -> None:
    """Let a server serve UsageService."""
    servicer = UsageServicer(
        context,
        UsageContext(context, PostgresUsage(database)),
        Projections(context, PostgresPastUse(database)),
        PostgresUsageExport(database),
    )
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(servicer, server)


def make_projector(
    database: Database, journal: Journal, now_ms: Callable[[], int], settings: AuthoritySettings
) -> Projector:
    """Return what keeps the usage log up, told of what this process writes."""
    projector = Projector(
        UsageProjection(database),
        UsageUpkeep(database),
        now_ms,
        time_zone=settings.reporting_time_zone,
        months_kept=settings.usage_retention_months,
    )
    journal.on_written(projector.tell)
    return projector
