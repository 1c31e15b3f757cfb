"""A month of use as ever, looked at four times a day: nobody is told anything. Then it is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from authority.ledger.past_use import PostgresPastUse
from authority.ledger.watching import PostgresWatch
from authority.wiring.watching import make_watch
from watched import PastUse

DOLLAR = 1_000_000
DAYS = 30
HISTORY_DAYS = 70
HOURS = (0, 1, 1, 2, 4, 9, 12, 14, 14, 12, 11, 8, 6, 4, 2)  # from 7 in the morning on
WEEK = (100, 110, 120, 100, 90, 30, 20)
ACCOUNTS = ("acme/ann", "acme/ben", "acme/eve")


@pytest.fixture
async def begun(lead, authority):
    """An installation in use for weeks, at the start of a month of the test's own."""
    running, stubs = authority
    await stubs.account("acme")
    for account in ACCOUNTS:
        await stubs.account(account)
        await stubs.set_budget(account, 10_000 * DOLLAR, window="MONTH", name="month")
        await stubs.set_budget(account, 2_000 * DOLLAR, window="WEEK", name="week")
    await stubs.grant("acme", "IMAGES", 1_000)
    return running, datetime(2027, 2, 1, tzinfo=UTC)


async def execute(url, statement, *parameters):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []


async def write_days(ledger_url, first, count, rng, *, times=1):
    """Write use of all accounts for some days: by weekday and hour, with its ups and downs."""
    use = PastUse()
    for day in (first + timedelta(days=number) for number in range(count)):
        for account in ACCOUNTS:
            amount = WEEK[day.weekday()] * DOLLAR * max(0.0, rng.gauss(1, 0.2)) * times
            for at, share in enumerate(HOURS):
                moment = day + timedelta(hours=7 + at, minutes=rng.randrange(60))
                use.add(account, moment, int(amount * share / 100), count=5, provider="fal")
    await use.write(ledger_url)


async def count_windows(ledger_url, until):
    """Let windows have counted what was used in them until a time, as if it had been reserved."""
    await execute(ledger_url, "DELETE FROM window_total")
    await execute(
        ledger_url,
        "INSERT INTO window_total SELECT budget.budget_key,"
        " (extract(epoch FROM since.start) * 1000)::bigint, 'USD', 'acme', 0,"
        " sum(rollup.charged_micros), 0"
        " FROM budget CROSS JOIN LATERAL"
        " (SELECT date_trunc(lower(budget.\"window\"), %s::timestamptz, 'UTC') AS start) AS since"
        " JOIN usage_rollup AS rollup ON rollup.account = budget.account AND level = 2"
        " AND bucket >= since.start AND bucket < %s"
        " GROUP BY budget.budget_key, since.start",
        *(until, until),
    )


class Clock:
    """The hot store's clock, as this test moves it."""

    def __init__(self, start):
        self.time = start

    def now_ms(self):
        return round(self.time.timestamp() * 1000)

    def observe(self, now_ms):
        """Stay: the test moves it."""


def watch_of(running, ledger_url, clock):
    """Return a watch by the test's clock; the ledger's counts are the test's own, so no audit."""
    core = running.core
    watch = make_watch(
        ledger_url,
        core.database,
        core.context,
        core.auditor,
        core.ledger.opened_tenants,
        timedelta(days=400),
    )
    watch._clock = clock
    watch._detectors = [item for item in watch._detectors if item.schedule.name != "ledger_drift"]
    return watch


@pytest.mark.timeout(300)
async def test_a_quiet_month_and_then_one_account_runs_away(begun, ledger_url):
    running, first = begun
    rng = random.Random(11)
    before = first - timedelta(days=HISTORY_DAYS)
    await write_days(ledger_url, before, HISTORY_DAYS + DAYS, rng)
    clock = Clock(first)
    watch = watch_of(running, ledger_url, clock)
    for step in range(DAYS * 4):
        clock.time = first + timedelta(hours=6 * step)
        if step % 4 == 3:
            await count_windows(ledger_url, clock.time)
        await watch.tick()
    assert await execute(ledger_url, "SELECT kind, summary FROM alert") == []

    # One account spends ten times as much in a day.
    day = first + timedelta(days=DAYS)
    use = PastUse()
    for hour in range(7, 20):
        use.add("acme/eve", day + timedelta(hours=hour), 100 * DOLLAR, provider="fal")
    await use.write(ledger_url)
    for hour in range(24):
        clock.time = day + timedelta(hours=hour)
        await count_windows(ledger_url, clock.time)
        await watch.tick()
    told = await execute(ledger_url, "SELECT kind, account FROM alert ORDER BY kind, account")
    assert ("UNUSUAL_SPEND", "acme/eve") in told
    assert len(told) == len(set(told)), "each case once"
    assert {account for _, account in told} <= {"acme", "acme/eve"}


async def test_sums_of_past_use_are_what_was_written(begun, ledger_url):
    running, first = begun
    await write_days(ledger_url, first, 3, random.Random(3))
    past = PostgresPastUse(running.core.database)
    cuts = [round((first + timedelta(days=day)).timestamp() * 1000) for day in range(4)]
    days = list(pairwise(cuts))
    each = await past.charged_by_each([*ACCOUNTS, "acme"], days)
    for account in (*ACCOUNTS, "acme"):
        assert await past.spent([account], "USD", cuts) == each[account]
    assert [sum(row) for row in zip(*(each[name] for name in ACCOUNTS), strict=True)] == each[
        "acme"
    ]
    store = PostgresWatch(running.core.database)
    today = await store.spent_today(first + timedelta(hours=23, minutes=59), 1, 10)
    assert {spend.account: spend.charged for spend in today} == {
        name: days[0] for name, days in each.items()
    }
