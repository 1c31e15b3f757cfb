"""The wiring of what says how everything is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc

from authority.health import books, machine, stores
from authority.health.work import work
from authority.hotstate.store import HotStore
from authority.ledger.health import HealthReader
from authority.ledger.journal import Journal
from authority.ledger.store import LedgerStore
from authority.recovery.outbox import Outbox
from authority.rpc.health_servicer import HealthServicer
from authority.usecases.health import Probe, SharedExamination, StoreProbe, examine
from authority.usecases.queues import QueueContext
from authority.v1 import health_service_pb2_grpc
from authority.wiring.queues import wall_clock

_HOT, _LEDGER = frozenset({"hot_store"}), frozenset({"ledger"})


class LookedAt(NamedTuple):
    """What is looked at; `tasks` are the loops that have to run."""

    hot: HotStore
    ledger: LedgerStore
    journal: Journal
    outbox: Outbox
    reader: HealthReader
    queues: QueueContext
    tasks: Sequence[asyncio.Task[None]]
    artifacts: Path | None


def make_examination(parts: LookedAt) -> SharedExamination:
    """Return what looks at everything."""
    hot, reader, now_ms = parts.hot, parts.reader, parts.hot.clock.now_ms
    generations = parts.queues.generations
    store_probes = [
        StoreProbe(
            "hot_store",
            partial(stores.hot_store, hot),
            "Start Valkey or Redis, or see that REDIS_URL names it and its password. Nothing can "
            "be held or settled meanwhile.",
        ),
        StoreProbe(
            "ledger",
            partial(stores.ledger, reader),
            "Start Postgres, or see that DATABASE_URL names it and its password. Nothing can be "
            "held or settled meanwhile.",
        ),
    ]
    probes = [
        Probe("epoch", partial(stores.epoch, hot, reader), _LEDGER),
        Probe("clocks", partial(stores.clocks, hot, reader, _wall_ms), _HOT | _LEDGER),
        Probe("journal", partial(books.journal, parts.journal)),
        Probe("outbox", partial(books.outbox, hot, parts.ledger, parts.outbox), _HOT | _LEDGER),
        Probe("expired_reservations", partial(books.expiry, reader, now_ms), _LEDGER),
        Probe("usage_log", partial(books.usage_log, reader, now_ms), _LEDGER),
        Probe("drift", partial(books.drift, reader, now_ms), _LEDGER),
        Probe("alert_deliveries", partial(books.telling, reader, now_ms), _LEDGER),
        Probe("queue", partial(work, parts.queues, wall_clock), _HOT | _LEDGER),
        Probe("loops", partial(machine.loops, parts.tasks)),
        Probe("disk", partial(machine.disk, parts.artifacts)),
        Probe(
            "catalogue",
            partial(machine.catalogue, generations.catalogue, generations.today),
        ),
    ]
    return SharedExamination(partial(examine, store_probes, probes), wall_clock)


def add_health_service(server: grpc.aio.Server, examination: SharedExamination) -> None:
    """Let a server serve HealthService."""
    health_service_pb2_grpc.add_HealthServiceServicer_to_server(HealthServicer(examination), server)


def _wall_ms() -> float:
    return wall_clock().timestamp() * 1000
