"""What owners ask of usage: any 30 of 90 days, from the sums, beside a scan of the events."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from statistics import median, quantiles
from time import perf_counter

from authority.domain.usage import Dimension, Interval, Outcome, UsageFilter, UsageQuery
from authority.ledger.database import Database, allow_long_transaction, make_pool
from authority.ledger.usage import PostgresUsage
from authority.ledger.usage_columns import MEASURES
from authority.ledger.usage_query import conditions
from bench.machine import Machine, Run, sample_of
from bench.processor import spent
from bench.report import Figure, less
from bench.samples import Sample
from bench.usage_rows import END, START, add_usage

_MS_MAX = 100.0
_QUERIES_PER_SECOND = 100
_SCANS = 3

_LARGEST = ("used0", ("used0/p0",))
_IMAGES = UsageFilter(kinds=("image",), outcomes=(Outcome.SUCCEEDED, Outcome.FAILED))
_VIDEOS = UsageFilter(kinds=("video",))


def _query(**fields: object) -> UsageQuery:
    return replace(UsageQuery(START, END), **fields)  # type: ignore[arg-type]  # by their names


QUERIES: Mapping[str, UsageQuery] = {
    "all": _query(),
    "all by day": _query(interval=Interval.DAY),
    "all by hour": _query(interval=Interval.HOUR),
    "by model": _query(group_by=(Dimension.MODEL,)),
    "by model and outcome": _query(group_by=(Dimension.MODEL, Dimension.OUTCOME)),
    "by model, day by day": _query(group_by=(Dimension.MODEL,), interval=Interval.DAY),
    "images by provider, hour by hour": _query(
        group_by=(Dimension.PROVIDER,), interval=Interval.HOUR, filter=_IMAGES, limit=10
    ),
    "tenants": _query(group_by=(Dimension.TENANT,)),
    "accounts that spent most": _query(group_by=(Dimension.ACCOUNT,)),
    "accounts that spent most on videos": _query(group_by=(Dimension.ACCOUNT,), filter=_VIDEOS),
    "users that spent most": _query(group_by=(Dimension.USER,)),
    "a tenant by hour": _query(tenant="used0", interval=Interval.HOUR),
    "a tenant by size and quality": _query(
        tenant="used0", group_by=(Dimension.SIZE, Dimension.QUALITY)
    ),
    "the largest account": _query(tenant=_LARGEST[0], accounts=_LARGEST[1]),
    "the largest account by model": _query(
        tenant=_LARGEST[0], accounts=_LARGEST[1], group_by=(Dimension.MODEL,)
    ),
    "the largest account by hour": _query(
        tenant=_LARGEST[0], accounts=_LARGEST[1], interval=Interval.HOUR
    ),
}


async def measure(machine: Machine) -> list[Figure]:
    """Measure each question by one client, as QueryUsage asks it, and as a scan answers it."""
    url = machine.stores.postgres.url
    await add_usage(url, machine.scale.usage_events)
    choose = random.Random(1)
    figures = []
    async with _open_database(url) as database:
        usage = PostgresUsage(database)
        each = max(2, int(machine.scale.seconds * _QUERIES_PER_SECOND / len(QUERIES)))
        runs: dict[str, Run] = {}
        for name, query in QUERIES.items():
            runs[f"usage: {name}"] = _run(machine, each, partial(_ask, usage, query, choose))
            runs[f"usage by scan: {name}"] = _run(
                machine, _SCANS, partial(_scan, database, query, choose)
            )
        found = await machine.contest(runs)
    for name in QUERIES:
        kept, scanned = found[f"usage: {name}"], found[f"usage by scan: {name}"]
        of = f"usage: {name}, 30 days of {machine.scale.usage_events:,} events"
        figures.append(
            less(
                f"{of}, p99",
                *(kept.percentile("p99"), "ms", "what is asked for", _MS_MAX, 1.0),
            )
        )
        figures.append(
            less(
                f"{of}, p50",
                *(kept.percentile("p50"), "ms", "a scan of the events, p50"),
                scanned.percentile("p50"),
            )
        )
    return figures


@asynccontextmanager
async def _open_database(url: str) -> AsyncIterator[Database]:
    pool = make_pool(url, size_max=2)
    await pool.open()
    yield Database(pool)
    await pool.close()


def _some_days(query: UsageQuery, choose: random.Random) -> UsageQuery:
    """Return the query of any 30 days, which begin at any quarter of an hour."""
    start = START + timedelta(minutes=15 * choose.randrange(60 * 96))
    return replace(query, start=start, end=start + timedelta(days=30))


async def _ask(usage: PostgresUsage, query: UsageQuery, choose: random.Random) -> float:
    start = perf_counter()
    answer = await usage.query(_some_days(query, choose))
    took = 1000 * (perf_counter() - start)
    assert answer.time_zone == "UTC"
    return took


async def _scan(database: Database, query: UsageQuery, choose: random.Random) -> float:
    """Answer the query, without its page, from the events."""
    some = _some_days(query, choose)
    tests, parameters = conditions(some.filter)
    tests.append("event_time >= %(start)s AND event_time < %(end)s")
    if some.tenant:
        tests.append("tenant = %(tenant)s")
    if some.accounts is not None:
        tests.append("account = ANY(%(accounts)s)")
    parameters |= {
        "start": some.start,
        "end": some.end,
        "tenant": some.tenant,
        "accounts": list(some.accounts or ()),
    }
    names = [name.value for name in some.group_by]
    if some.interval:
        names.append(f"date_trunc('{some.interval.value}', event_time, 'UTC')")
    sums = ", ".join(f"sum({name})" for name in MEASURES if name != "duration_count")
    grouped = f" GROUP BY {', '.join(names)}" if names else ""
    start = perf_counter()
    async with database.transaction() as connection:
        await allow_long_transaction(connection, "10min")
        columns = ", ".join([*names, "count(*)", sums])
        await connection.execute(
            f"SELECT {columns} FROM usage_event WHERE {' AND '.join(tests)}{grouped}", parameters
        )
    return 1000 * (perf_counter() - start)


def _run(machine: Machine, count: int, ask: Callable[[], Awaitable[float]]) -> Run:
    """Return a run that asks so often; `ask` returns how many milliseconds it took."""
    groups = {"client": [os.getpid()], "Postgres": [machine.stores.postgres.pid]}

    async def run() -> Sample:
        await ask()
        before = spent(groups)
        start = perf_counter()
        took = [await ask() for _ in range(max(count, 2))]
        seconds = perf_counter() - start
        after = spent(groups)
        percentiles = {"p50": median(took), "p99": quantiles(took, n=100, method="inclusive")[98]}
        result = {
            "counts": {"query": len(took)},
            "seconds": seconds,
            "latencies": {"query": percentiles},
            "failures": {},
        }
        return sample_of([result], before, after)

    return run
