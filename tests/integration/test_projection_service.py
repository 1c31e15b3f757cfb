"""GetProjection over the wire, from the sums of the usage log and the counts of the hot store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc
from watched import PastUse, midday, now_of

CENT = 10_000
WEEK = (100, 110, 120, 100, 90, 30, 20)


async def ask(stubs, account, budget=""):
    """Return what is said of an account's budgets, by account and budget."""
    service = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
    response = await service.GetProjection(
        messages.GetProjectionRequest(account=account, budget=budget), metadata=stubs.metadata
    )
    assert response.read_time.seconds
    return {
        (said.balance.budget.account, said.balance.budget.budget): said
        for said in response.projections
    }


async def weeks_of_use(ledger_url, now, accounts, *, days=90):
    """Write the same week again and again, in cents; each account has all of it."""
    use = PastUse()
    for back in range(days + 1):
        moment = midday(now, back)
        for account in accounts if moment < now else ():
            use.add(account, moment, WEEK[moment.weekday()] * CENT)
    await use.write(ledger_url)


def coming(now, end):
    """Return what the week says is spent from now to the midnight of an end, in micros."""
    days = [now + timedelta(days=ahead) for ahead in range((end - now).days + 2)]
    return sum(WEEK[day.weekday()] * CENT for day in days if now <= midday(day, 0) < end)


async def test_a_month_of_the_account_and_of_the_one_above(authority, ledger_url):
    running, stubs = authority
    await stubs.account("acme")
    await stubs.account("acme/team", parent="acme")
    await stubs.account("acme/ann", parent="acme/team")
    await stubs.set_budget("acme", 1000_000_000, window="MONTH", name="all")
    await stubs.set_budget("acme/team", 200_000_000, window="WEEK", name="week")
    await stubs.set_budget("acme/ann", 5, unit="RESERVATIONS", window="TOTAL", name="open")
    await stubs.set_budget("acme/ann", 100_000_000, window="TOTAL", name="ever")
    # Held, not charged: what is charged would be a part of the history too.
    await stubs.reserve("acme/ann", {"USD": 40 * CENT})
    now = now_of(running)
    await weeks_of_use(ledger_url, now, ["acme/ann", "acme/team"])

    said = await ask(stubs, "acme/ann")
    assert list(said) == [("acme/ann", "ever"), ("acme/team", "week"), ("acme", "all")]
    for name in (("acme", "all"), ("acme/team", "week")):
        month = said[name]
        end = month.balance.window_end_time.ToDatetime(UTC)
        # Both accounts have the week's use; quarters and hours are of the noon's.
        assert month.expected == 2 * coming(now, end), name
        assert month.balance.reserved == 40 * CENT
        assert month.basis == messages.PROJECTION_BASIS_WEEKDAYS
        assert (month.lower, month.upper) == (month.expected, month.expected)
    ever = said["acme/ann", "ever"]
    assert not ever.HasField("expected")
    # 570 cents a week of 10,000.
    weeks = 10_000 / 570
    days = (ever.exhaust_time.ToDatetime(UTC) - now).total_seconds() / 86_400
    assert abs(days - weeks * 7) < 7
    assert list(await ask(stubs, "acme/ann", "ever")) == [("acme/ann", "ever")]


async def test_what_the_cache_served_and_what_was_denied_is_no_spend(authority, ledger_url):
    running, stubs = authority
    await stubs.account("acme")
    await stubs.set_budget("acme", 10**9, window="TOTAL", name="ever")
    now = now_of(running)
    use = PastUse()
    for back in range(1, 60):
        for outcome in ("HIT", "REVERSED", "DENIED"):
            use.add("acme", midday(now, back), 777, outcome=outcome)
    await use.write(ledger_url)
    said = await ask(stubs, "acme")
    assert said["acme", "ever"].basis == messages.PROJECTION_BASIS_NONE


@pytest.mark.parametrize(
    ("account", "budget", "code", "field"),
    [
        ("acme", "no-such", grpc.StatusCode.NOT_FOUND, "budget"),
        ("nobody", "", grpc.StatusCode.NOT_FOUND, "account"),
        ("platform", "", grpc.StatusCode.INVALID_ARGUMENT, "account"),
        ("", "", grpc.StatusCode.INVALID_ARGUMENT, "account"),
        ("acme", "no such", grpc.StatusCode.INVALID_ARGUMENT, "budget"),
    ],
)
async def test_what_there_is_not_has_no_projection(authority, account, budget, code, field):
    _, stubs = authority
    await stubs.account("acme")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(stubs, account, budget)
    assert caught.value.code() is code
    assert field in (caught.value.details() or "") + str(caught.value.trailing_metadata())


def test_the_week_says_what_comes():
    now = datetime(2026, 11, 21, 13, tzinfo=UTC)  # a Saturday, after noon
    assert coming(now, datetime(2026, 11, 23, tzinfo=UTC)) == 20 * CENT
