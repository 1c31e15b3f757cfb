"""What is written for the similarity cache in the transactions that begin and end generations."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import structlog
import uuid_utils
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from workers.cache.rows import Entry, Looked, Report, Served
from workers.cache.store import vector_text
from workers.database import statements
from workers.rows import Claim

# So many can be searched exactly, without an index that loses neighbours.
ENTRIES_MAX = 10_000
# Entries in constant use would be written all the time.
USE_PRECISION = timedelta(hours=1)

log = structlog.get_logger(__name__)


async def write_looked_up(
    connection: AsyncConnection[DictRow], claim: Claim, looked: Looked
) -> None:
    """Write down how a generation was looked up that is going to be made."""
    await _write_report(connection, claim, looked.report)
    if looked.held_back is not None:
        await connection.execute(
            statements("cache/writes.sql")["write_sample"],
            {**_whose(claim), **looked.held_back._asdict()},
        )


async def write_hit(connection: AsyncConnection[DictRow], claim: Claim, served: Served) -> None:
    """Write down what a generation is served in place of being made; booking it comes later."""
    sql = statements("cache/writes.sql")
    parameters = {**_whose(claim), **served.hit.candidate._asdict(), "precision": USE_PRECISION}
    await _write_report(connection, claim, served.report)
    await connection.execute(sql["write_hit"], parameters)
    await connection.execute(sql["touch_entry"], parameters)


async def write_entry(
    connection: AsyncConnection[DictRow],
    claim: Claim,
    entry: Entry,
    *,
    model: str,
) -> None:
    """Keep what was made. Where that fails, the generation is none the worse for it."""
    sql = statements("cache/writes.sql")
    parameters = {
        **_whose(claim),
        **entry.fingerprint._asdict(),
        "entry_id": f"{claim.tenant}/{uuid_utils.uuid7()}",
        "context": None if entry.context is None else Jsonb(entry.context),
        "embedding": None if entry.embedding is None else vector_text(entry.embedding),
        "embedder": entry.embedder,
        "kind": claim.request.kind,
        "model": model,
        "quality_class": entry.quality,
        "cost_micros": entry.cost_micros,
        "life": entry.life,
        "entries_max": ENTRIES_MAX,
    }
    try:
        async with connection.transaction():
            await connection.execute(sql["write_entry"], parameters)
            await connection.execute(sql["evict_entries"], parameters)
    except psycopg.Error:
        if connection.closed:
            raise
        log.exception("cache_fill_failed")


async def _write_report(connection: AsyncConnection[DictRow], claim: Claim, report: Report) -> None:
    await connection.execute(
        statements("cache/writes.sql")["write_looked_up"],
        {"generation_id": claim.generation_id, "report": Jsonb(report.encode())},
    )


def _whose(claim: Claim) -> dict[str, str]:
    return {
        "generation_id": claim.generation_id,
        "tenant": claim.tenant,
        "account": claim.request.account,
    }
