"""The wiring of what is told of use."""

from __future__ import annotations

import grpc

from authority.analytics.projector import Projector
from authority.ledger.database import Database
from authority.ledger.journal import Journal
from authority.ledger.past_use import PostgresPastUse
from authority.ledger.usage import PostgresUsage
from authority.ledger.usage_projection import UsageProjection
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
    )
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(servicer, server)


def make_projector(database: Database, journal: Journal) -> Projector:
    """Return what keeps the usage log up, told of what this process writes."""
    projector = Projector(UsageProjection(database))
    journal.on_written(projector.tell)
    return projector
