"""Counts the jobs of all queues by brute force: every row and every key, by no code of ours."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row
from redis.asyncio import Redis

from authorities import TOKEN
from clients import QueueClient

KINDS = ("image", "chat", "video")
COUNTED = ("ready", "deferred", "running", "orphaned", "lost", "dead", "stray")


class Stores:
    """The two stores of an authority, to look into and to spoil."""

    def __init__(self, ledger_url, redis_url) -> None:
        self.ledger_url = ledger_url
        self.redis_url = redis_url

    async def rows(self, statement, *parameters):
        """Run a statement; return its rows."""
        async with await psycopg.AsyncConnection.connect(
            self.ledger_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def redis(self):
        """Give a connection to Redis."""
        async with Redis.from_url(self.redis_url) as redis:
            yield redis

    async def set(self, generation_id, **columns):
        """Change columns of a generation, to what expressions of SQL say."""
        changes = ", ".join(f"{name} = {value}" for name, value in columns.items())
        await self.rows(f"UPDATE generation SET {changes} WHERE generation_id = %s", generation_id)

    async def recount(self):
        """Return how many jobs of each kind are in each state, and how many entries are stray."""
        counts = {kind: Counter() for kind in KINDS}
        async with self.redis() as redis:
            alive = {
                name.decode().removeprefix("paymaster:worker:")
                for name in await redis.keys("paymaster:worker:*")
            }
            seconds, micros = await redis.time()
            now_ms = seconds * 1000 + micros / 1000
            entries = {}
            polite = set()
            for kind in KINDS:
                found = await redis.zrange(f"paymaster:queue:{kind}", 0, -1, withscores=True)
                entries |= {(kind, name.decode()): score for name, score in found}
                late = await redis.zrange(f"paymaster:queue:{kind}:polite", 0, -1)
                polite |= {(kind, name.decode()) for name in late}
            claims = {}
            for key in await redis.keys("arq:in-progress:*"):
                name = key.decode().removeprefix("arq:in-progress:")
                claims[name] = (await redis.get(key) or b"").decode()
        for row in await self.rows("SELECT *, now() AS now FROM generation"):
            place = (row["kind"], f"{row['generation_id']}:{row['requeue_number']}")
            score = entries.get(place)
            if row["state"] not in ("QUEUED", "RUNNING"):
                counts[row["kind"]]["dead"] += row["dead_time"] is not None
                continue
            entries.pop(place, None)
            state = _state(row, score, place in polite, claims.get(place[1], ""), now_ms, alive)
            counts[row["kind"]][state] += 1
        for kind, _ in entries:
            counts[kind]["stray"] += 1
        return {kind: {name: counts[kind][name] for name in COUNTED} for kind in KINDS}

    async def refigure(self):
        """Return what has happened within five minutes, by kind."""
        rows = await self.rows("SELECT *, now() AS now FROM generation")
        since = [row for row in rows if row["create_time"] > row["now"] - timedelta(minutes=5)]
        ended = [
            row
            for row in rows
            if row["end_time"] and row["end_time"] > row["now"] - timedelta(minutes=5)
        ]
        return {
            kind: {
                "submitted": sum(row["kind"] == kind for row in since),
                "ended": sum(row["kind"] == kind for row in ended),
                "failed": sum(row["kind"] == kind and row["state"] == "FAILED" for row in ended),
                "waits": sorted(
                    row["start_time"] - row["create_time"]
                    for row in ended
                    if row["kind"] == kind and row["start_time"]
                ),
                "runs": sorted(
                    row["end_time"] - row["start_time"]
                    for row in ended
                    if row["kind"] == kind and row["start_time"]
                ),
            }
            for kind in KINDS
        }


def _state(row, score, is_polite, claim, now_ms, alive):
    leased = row["lease_until"] is not None and row["lease_until"] > row["now"]
    if row["state"] == "RUNNING" and leased:
        return "running"
    if claim and ":".join(claim.split(" ")[0].split(":")[:2]) in alive:
        return "running"
    if score is None:
        return "lost"
    if claim or row["state"] == "RUNNING":
        return "orphaned"
    return "ready" if is_polite or score <= now_ms else "deferred"


def counts_of(queues):
    """Return the same figures as `recount`, as QueueService has told them."""
    return {
        queue.kind.lower(): {name: getattr(queue, f"{name}_count") for name in COUNTED}
        for queue in queues.queues
    }


def percentile(values, share):
    """Return a percentile as Postgres counts it: between the two values nearest to it."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


async def write_beat(redis, worker="host:1", kinds=("image",)):
    """Let a worker be alive for a while."""
    now = datetime.now(UTC).isoformat()  # noqa: TID251  # A worker that is not there.
    beat = {
        "worker": worker,
        "version": "1",
        "started": now,
        "beat": now,
        "slots": dict.fromkeys(kinds, 2),
        "running": [],
        "providers": ["openai"],
        "stopping": False,
    }
    await redis.set(f"paymaster:worker:{worker}", json.dumps(beat), ex=60)
    await redis.sadd("paymaster:workers", worker)


@pytest.fixture
def stores(ledger_url, redis_url) -> Stores:
    """The stores of the running authority."""
    return Stores(ledger_url, redis_url)


@pytest.fixture
async def queues(authority):
    """A client of the running authority's QueueService."""
    async with QueueClient(f"127.0.0.1:{authority[0].port}", token=TOKEN, timeout=10) as client:
        yield client
