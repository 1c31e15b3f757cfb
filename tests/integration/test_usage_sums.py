"""Every sum of usage equals what the events say, in every group, step and time zone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from authority.domain.usage import Dimension, Interval, Order, Outcome, UsageFilter, UsageQuery
from authority.ledger.database import Database, make_pool
from authority.ledger.usage import PostgresUsage
from authority.ledger.usage_upkeep import UsageUpkeep, add_sums
from usage_facts import as_text, count_again, grouped, make_events, step_of, write_events

# The clocks of Berlin and New York are changed within these days, on different ones.
START = datetime(2026, 10, 20, tzinfo=UTC)
DAYS = 20
EVENTS = make_events(7, 3000, START, DAYS)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")
FILTERS = (
    UsageFilter(),
    UsageFilter(kinds=("image", "chat"), downgraded=False),
    UsageFilter(outcomes=(Outcome.SUCCEEDED, Outcome.FAILED), providers=("openai",)),
    UsageFilter(users=("ada",)),
    UsageFilter(users=("ada", "bob"), models=("flux",)),
    UsageFilter(error_classes=("rate_limited",)),
)


@pytest.fixture
async def database(ledger_url):
    pool = make_pool(ledger_url, size_max=6)
    await pool.open()
    yield Database(pool)
    await pool.close()


@pytest.fixture
async def log(database):
    """A log of the events, summed in parts as if they had come one after the other.

    Parts end within a quarter of an hour, so all sums have what came in more than one of them.
    """
    part, end = timedelta(hours=17, minutes=7), START + timedelta(days=DAYS)
    async with database.transaction() as connection:
        await write_events(connection, EVENTS)
        for number in range(DAYS * 24 // 17 + 1):
            start = START + number * part
            await add_sums(connection, start, min(start + part, end))
    return PostgresUsage(database)


def said(sums):
    """Return the sums that are not zero, as a dict."""
    return {name: value for name, value in sums._asdict().items() if value}


def chosen(query):
    """Return the events that a query is about, found one by one."""
    wanted = query.filter
    return [
        event
        for event in EVENTS
        if query.start <= event["event_time"] < query.end
        and query.tenant in ("", event["tenant"])
        and (query.accounts is None or event["account"] in query.accounts)
        and (not wanted.users or event["user_name"] in wanted.users)
        and (not wanted.kinds or event["kind"] in wanted.kinds)
        and (not wanted.providers or event["provider"] in wanted.providers)
        and (not wanted.models or event["model"] in wanted.models)
        and (not wanted.outcomes or event["outcome"] in wanted.outcomes)
        and (not wanted.error_classes or event["error_class"] in wanted.error_classes)
        and wanted.downgraded in (None, event["downgraded"])
    ]


def check(query, answer):
    """Compare an answer with what is counted by hand."""
    events = chosen(query)
    assert said(answer.totals) == count_again(events)
    check_points(query, answer.points, events, answer.time_zone)
    if not query.group_by:
        return
    groups = grouped(events, lambda event: tuple(as_text(event[name]) for name in query.group_by))
    assert answer.group_count == len(groups)
    assert len(answer.groups) == min(query.limit, len(groups))
    assert {group.values: said(group.sums) for group in answer.groups} == {
        group.values: count_again(groups[group.values]) for group in answer.groups
    }
    for group in answer.groups:
        check_points(query, group.points, groups[group.values], answer.time_zone)


def check_points(query, points, events, time_zone):
    if query.interval is None:
        assert points == ()
        return
    steps = grouped(events, lambda event: step_of(event["event_time"], query.interval, time_zone))
    assert {point.start: said(point.sums) for point in points if said(point.sums)} == {
        start: count_again(own) for start, own in steps.items()
    }


def some_query(chance):
    """Return a query of any kind."""
    quarters = DAYS * 96
    start = chance.choice((0, 96, chance.randrange(quarters - 1)))
    end = chance.choice((quarters, chance.randrange(start + 1, quarters + 1)))
    tenant = chance.choice(("", "acme", "beta"))
    accounts = chance.choice((None, None, (f"{tenant}/p1", f"{tenant}/p2", tenant)))
    return UsageQuery(
        start=START + start * timedelta(minutes=15),
        end=START + end * timedelta(minutes=15),
        tenant=tenant,
        accounts=accounts if tenant else None,
        filter=chance.choice(FILTERS),
        group_by=tuple(chance.sample(list(Dimension), chance.choice((0, 1, 1, 2, 3)))),
        interval=chance.choice((None, *Interval)),
        order_by=chance.choice(list(Order)),
        # The series of a page has the steps of its groups alone, and that of all has everything.
        limit=chance.choice((2, 100_000)),
    )


@pytest.mark.parametrize("time_zone", ZONES)
async def test_any_query_equals_a_count_of_the_events(log, database, time_zone):
    await UsageUpkeep(database).set_time_zone(time_zone)
    chance = random.Random(time_zone)
    for _ in range(40):
        query = some_query(chance)
        answer = await log.query(query)
        assert answer.time_zone == time_zone
        try:
            check(query, answer)
        except AssertionError as error:
            raise AssertionError(f"{query}: {error}") from None


async def test_a_time_zone_and_back_leaves_the_same_sums(log, database):
    query = "SELECT * FROM usage_total ORDER BY level, grain, bucket, tenant, account, user_name"
    before = await database.rows(query, {})
    upkeep = UsageUpkeep(database)
    assert await upkeep.set_time_zone("Asia/Kathmandu")
    assert await database.rows(query, {}) != before
    assert not await upkeep.set_time_zone("Asia/Kathmandu")
    assert await upkeep.set_time_zone("UTC")
    assert await database.rows(query, {}) == before
    assert len(before) > 100


async def test_groups_come_in_pages_in_their_order(log):
    query = UsageQuery(
        START, START + timedelta(days=DAYS), group_by=(Dimension.ACCOUNT,), order_by=Order.ACTUAL
    )
    whole = await log.query(query)
    amounts = [group.sums.actual for group in whole.groups]
    assert amounts == sorted(amounts, reverse=True)
    pages = [
        await log.query(
            UsageQuery(
                query.start,
                query.end,
                group_by=query.group_by,
                order_by=query.order_by,
                limit=3,
                offset=offset,
            )
        )
        for offset in range(0, whole.group_count, 3)
    ]
    assert [group for page in pages for group in page.groups] == list(whole.groups)
    assert {page.totals for page in pages} == {whole.totals}


async def test_a_month_that_is_dropped_leaves_its_sums(log, database):
    query = UsageQuery(START, START + timedelta(days=DAYS), group_by=(Dimension.MODEL,))
    before = await log.query(query)
    upkeep = UsageUpkeep(database)
    assert await upkeep.drop_months(datetime(2026, 11, 5, tzinfo=UTC)) == []
    rows = await database.rows("SELECT min(event_time) AS first FROM usage_event", {})
    assert rows[0]["first"] >= datetime(2026, 11, 1, tzinfo=UTC)
    assert await log.query(query) == before
