"""Weeks of real operations with a moved clock: what is projected, and who is told of a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from authority.alerting.detectors.base import Look
from authority.alerting.detectors.projections import PassingProjections
from authority.alerting.detectors.unusual_spend import UnusualSpend
from authority.domain.alert_params import RuleParams
from authority.ledger.past_use import PostgresPastUse
from authority.ledger.watching import PostgresWatch
from authority.usecases.projection import Projections
from authority.v1.usage_service_pb2 import GetProjectionRequest
from calls import send
from support import eventually

CENT = 10_000
WEEK = (100, 110, 120, 100, 90, 30, 20)
WEEKS = 7


async def spend(stubs, account, amount, *, refunded=0):
    """Reserve more than it costs, commit, and give a part back."""
    held = await stubs.reserve(account, {"USD": amount + refunded + CENT})
    reservation_id = held.reservation.reservation_id
    await stubs.commit(reservation_id, {"USD": amount + refunded})
    if refunded:
        await stubs.refund(reservation_id, {"USD": refunded})


async def found(detector, store, running, **params):
    """Return what a detector finds now."""
    rules = (RuleParams("platform", params),)
    look = Look(store, running.core.context.clock.now_ms(), rules)
    return [alert async for alert in detector.find(look)]


def moment(running):
    return datetime.fromtimestamp(running.core.context.clock.now_ms() / 1000, UTC)


async def test_use_that_repeats_itself_is_foretold_to_the_micro(lead, authority):
    running, stubs = authority
    core, clock = running.core, running.core.hot.clock
    await stubs.account("acme")
    await stubs.account("acme/ann")
    await stubs.set_budget("acme", 10**9, window="MONTH", name="month")
    await stubs.set_budget("acme/ann", 1_000 * CENT, window="WEEK", name="week")
    # To a noon on a Monday, so that the hours of the test itself fall on no border.
    now = moment(running)
    noon = now.replace(hour=12, minute=7) + timedelta(days=7 - now.weekday())
    clock.offset_ms += round((noon - now).total_seconds() * 1000)
    for day in range(WEEKS * 7):
        amount = WEEK[day % 7] * CENT
        await spend(stubs, "acme/ann", amount, refunded=CENT if day % 3 == 0 else 0)
        clock.offset_ms += 86_400_000
    await spend(stubs, "acme/ann", WEEK[0] * CENT)

    async def is_counted():
        rows = await core.database.rows(
            "SELECT sum(charged_micros - refunded_micros) AS net"
            " FROM usage_rollup WHERE level = 0 AND grain = 1440",
            {},
        )
        return rows[0]["net"] == (WEEKS * sum(WEEK) + WEEK[0]) * CENT

    await eventually(is_counted, 30)
    # It is a Monday, later than use ever is on a day: what is to come begins with Tuesday's.
    clock.offset_ms += 20 * 60_000
    response = await send(stubs, GetProjectionRequest(account="acme/ann"))
    week, month = response.projections
    assert (week.history_days, month.history_days) == (WEEKS * 7,) * 2
    for said in (week, month):
        so_far = said.balance.committed - said.balance.refunded
        end = said.balance.window_end_time.ToDatetime(UTC)
        days = [moment(running) + timedelta(days=ahead) for ahead in range(1, 40)]
        coming = [WEEK[day.weekday()] * CENT for day in days if day < end]
        assert said.expected == so_far + sum(coming)
        assert (said.lower, said.upper) == (said.expected, said.expected)
    assert not week.HasField("exhaust_time")

    store, past = PostgresWatch(core.database), PostgresPastUse(core.database)
    unusual = UnusualSpend(past)
    passing = PassingProjections(Projections(core.context, past), core.context.policies)
    assert await found(unusual, store, running) == []
    assert await found(passing, store, running) == []
    # Eight times a Monday's, and what was enough for a week will not do any more.
    await spend(stubs, "acme/ann", 700 * CENT)

    async def is_unusual():
        return await found(unusual, store, running)

    alerts = await eventually(is_unusual, 30)
    assert {alert.account for alert in alerts} == {"acme", "acme/ann"}
    assert all(alert.details["charged"] == 800 * CENT for alert in alerts)
    assert all(alert.details["median"] == 100 * CENT for alert in alerts)
    (alert,) = await found(passing, store, running)
    assert alert.details["budget"] == "week"
    assert alert.details["expected"] > 1_000 * CENT
    assert await stubs.differences() == []
