"""The wiring of what operators use."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc

from authority.ledger.database import Database
from authority.ledger.dead_letters import PostgresDeadLetters
from authority.ledger.jobs import PostgresJobs
from authority.queue.jobs import QueuedJobs
from authority.queue.levers import QueueLevers
from authority.queue.reading import QueueReader
from authority.rpc.queue_servicer import QueueServicer
from authority.rpc.shield import Shield
from authority.usecases.generations import GenerationContext
from authority.usecases.queues import QueueContext
from authority.v1 import queue_service_pb2_grpc


def add_queue_service(
    server: grpc.aio.Server,
    database: Database,
    jobs: QueuedJobs,
    generations: GenerationContext,
    shield: Shield,
) -> None:
    """Let a server serve QueueService."""
    context = make_queue_context(database, jobs, generations)
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(
        QueueServicer(context, shield), server
    )


def make_queue_context(
    database: Database, jobs: QueuedJobs, generations: GenerationContext
) -> QueueContext:
    """Return what the use cases of queues work with."""
    return QueueContext(
        PostgresJobs(database),
        QueueReader(jobs),
        QueueLevers(jobs),
        PostgresDeadLetters(database),
        generations,
        wall_clock,
    )


def wall_clock() -> datetime:
    """Return the time as Postgres and the workers count, whatever moves the clock of budgets."""
    return datetime.now(UTC)  # noqa: TID251  # The clock that others are given.
