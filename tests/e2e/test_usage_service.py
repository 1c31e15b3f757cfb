"""UsageService as callers see it: sums, series, pages, events, what is refused, whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from authorities import TOKEN
from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc
from clients import (
    InvalidRequest,
    NotFound,
    UsageClient,
    UsageDimension,
    UsageFilter,
    UsageInterval,
    UsageOrder,
    UsageOutcome,
    UsageSpan,
)
from keys import make_key
from refusals import refused
from support import eventually

MICROS = 1_000_000


@pytest.fixture
async def usage(authority):
    async with UsageClient(f"127.0.0.1:{authority[0].port}", token=TOKEN) as client:
        yield client


@pytest.fixture
async def spent(stubs, usage):
    """Two tenants that have spent; returns when the log has all of it."""
    for tenant in ("acme", "beta"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 100 * MICROS)
        for name in ("ann", "bob"):
            await stubs.account(f"{tenant}/{name}", parent=tenant)
    for account, cost, model in (
        ("acme", 1000, "small"),
        ("acme/ann", 2000, "small"),
        ("acme/ann", 3000, "large"),
        ("acme/bob", 5000, "large"),
        ("beta/ann", 70_000, "small"),
    ):
        labels = {"model": model, "kind": "image"}
        held = await stubs.reserve(account, {"USD": cost, "IMAGES": 1}, labels=labels)
        await stubs.commit(held.reservation.reservation_id, {"USD": cost, "IMAGES": 1})

    async def all_in():
        return (await usage.query_usage()).totals.succeeded_count == 5

    await eventually(all_in)


async def test_sums_of_all_of_a_tenant_and_of_an_account(usage, spent):
    assert (await usage.query_usage()).totals.actual == 81_000
    assert (await usage.query_usage(tenant="acme")).totals.actual == 11_000
    assert (await usage.query_usage(account="acme")).totals.actual == 11_000
    report = await usage.query_usage(account="acme/ann", span=UsageSpan.HOUR)
    assert (report.totals.charged, report.totals.images) == (5000, 2)
    assert report.totals.average_cost == 2500
    assert report.totals.success_rate_ppm == 1_000_000
    assert report.time_zone == "UTC"
    assert report.start_time.minute == 0
    assert report.complete_until > report.start_time


async def test_groups_with_series_come_in_pages(usage, spent):
    fields = {
        "group_by": [UsageDimension.ACCOUNT, UsageDimension.MODEL],
        "interval": UsageInterval.DAY,
        "order_by": UsageOrder.ACTUAL,
        "page_size": 2,
        "tenant": "acme",
    }
    pages = [await usage.query_usage(**fields)]
    while token := pages[-1].next_page_token:
        pages.append(await usage.query_usage(**fields, page_token=token))
    groups = [group for page in pages for group in page.groups]
    assert [(*group.values, group.sums.actual) for group in groups] == [
        ("acme/bob", "large", 5000),
        ("acme/ann", "large", 3000),
        ("acme/ann", "small", 2000),
        ("acme", "small", 1000),
    ]
    assert all(sum(point.sums.actual for point in g.points) == g.sums.actual for g in groups)
    assert {page.group_count for page in pages} == {4}
    assert {page.totals.actual for page in pages} == {11_000}
    assert {(page.start_time, page.end_time) for page in pages} == {
        (pages[0].start_time, pages[0].end_time)
    }


async def test_filters(usage, spent):
    report = await usage.query_usage(filter=UsageFilter(models=["large"]))
    assert report.totals.actual == 8000
    report = await usage.query_usage(filter=UsageFilter(outcomes=[UsageOutcome.FAILED]))
    assert report.totals.succeeded_count == report.totals.actual == 0
    assert report.totals.success_rate_ppm is None


async def test_events_the_latest_first_in_pages(usage, spent):
    events = [event async for event in usage.list_usage_events(page_size=2)]
    assert [event.actual for event in events] == [70_000, 5000, 3000, 2000, 1000]
    (event,) = [
        event
        async for event in usage.list_usage_events(
            account="acme/ann", filter=UsageFilter(models=["large"])
        )
    ]
    assert (event.outcome, event.model, event.images) == (UsageOutcome.SUCCEEDED, "large", 1)
    found = [event async for event in usage.list_usage_events(reservation_id=event.reservation_id)]
    assert found == [event]
    before = [event async for event in usage.list_usage_events(end_time=event.event_time)]
    assert {other.actual for other in before} == {1000, 2000}


async def test_a_tenant_sees_its_own(authority, stubs, spent):
    key = await make_key(stubs, "acme")
    async with UsageClient(f"127.0.0.1:{authority[0].port}", token=key.token) as client:
        report = await client.query_usage(group_by=[UsageDimension.TENANT])
        assert [group.values for group in report.groups] == [("acme",)]
        assert report.totals.actual == 11_000
        assert {event.tenant async for event in client.list_usage_events()} == {"acme"}


async def test_what_is_wrong_is_named(usage, stubs, spent):
    stub = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
    request = messages.QueryUsageRequest(
        tenant="acme",
        account="beta/ann",
        span=9,
        interval=77,
        order_by=55,
        page_size=-1,
        group_by=[0, 4, 4],
        filter=messages.UsageFilter(outcomes=[99], models=[""], kinds=["x" * 300]),
    )
    request.start_time.FromSeconds(1)
    error = await refused(stub.QueryUsage(request, metadata=stubs.metadata))
    assert {"account", "span", "interval", "order_by", "page_size", "start_time"} <= set(
        error.fields
    )
    assert {"group_by[0]", "group_by[2]", "filter.outcomes[0]", "filter.models[0]"} <= set(
        error.fields
    )
    # What was sent is not sent back, however long it is.
    request = messages.ListUsageEventsRequest(tenant="x" * 70_000, account="acme")
    error = await refused(stub.ListUsageEvents(request, metadata=stubs.metadata))
    assert set(error.fields) == {"tenant", "account"}
    now = datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(InvalidRequest, match="points"):
        await usage.query_usage(
            start_time=now - timedelta(days=3650), end_time=now, interval=UsageInterval.HOUR
        )
    with pytest.raises(InvalidRequest, match="later"):
        await usage.query_usage(start_time=now, end_time=now)
    with pytest.raises(NotFound):
        await usage.query_usage(account="acme/nobody")
    first = await usage.query_usage(group_by=[UsageDimension.ACCOUNT], page_size=1)
    with pytest.raises(InvalidRequest, match="same listing"):
        await usage.query_usage(
            group_by=[UsageDimension.MODEL], page_size=1, page_token=first.next_page_token
        )


async def test_the_last_thirty_days_are_whole_ones(usage, spent):
    report = await usage.query_usage()
    length = report.end_time - report.start_time
    assert timedelta(days=29) < length <= timedelta(days=30)
    assert (report.start_time.hour, report.start_time.minute) == (0, 0)
    assert report.end_time.minute % 15 == 0
