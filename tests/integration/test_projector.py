"""The projector: whom it hears of, what it finds by itself, and what it sees to once an hour."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authority.analytics.projector import Projector
from authority.domain.errors import Unavailable
from authority.ledger.database import Database, make_pool
from authority.ledger.usage_projection import Projected, UsageProjection
from authority.ledger.usage_upkeep import UsageUpkeep

NOW = datetime(2027, 3, 10, tzinfo=UTC)


class Ledger:
    """What a projector asks for, and what was asked."""

    def __init__(self, **operations) -> None:
        self.left = operations
        self.asked = []
        self.is_taken = False
        self.limit_max = 1_000_000

    async def behind(self, limit):
        return [tenant for tenant, count in self.left.items() if count][:limit]

    async def project(self, tenants, limit):
        if self.is_taken:
            return None
        if limit > self.limit_max:
            raise Unavailable("It takes too long.")
        assert limit >= len(tenants)
        self.asked.append(list(tenants))
        share, found = 10, []
        for tenant in tenants:
            count = min(share, self.left.get(tenant, 0))
            self.left[tenant] = self.left.get(tenant, 0) - count
            found.append(Projected(tenant, 0, count, count, is_all=count < share))
        return found


def projector_of(projection, upkeep=None, **fields):
    fields = {"time_zone": "UTC", "months_kept": 0, **fields}
    return Projector(projection, upkeep, lambda: int(NOW.timestamp() * 1000), **fields)


async def test_it_asks_until_nothing_is_left_of_those_that_have_more():
    ledger = Ledger(acme=25, beta=3)
    assert await projector_of(ledger).catch_up() == 28
    assert ledger.asked == [["acme", "beta"], ["acme"], ["acme"]]


async def test_it_hears_of_tenants_between_its_looks():
    ledger = Ledger(acme=1)
    projector = projector_of(ledger)
    await projector.catch_up()
    ledger.left["beta"] = 2
    assert await projector.catch_up() == 0
    projector.tell({"beta"})
    assert await projector.catch_up() == 2


async def test_what_another_is_at_is_kept_in_mind():
    ledger = Ledger(acme=1)
    projector = projector_of(ledger)
    ledger.is_taken = True
    assert await projector.catch_up() == 0
    ledger.is_taken = False
    assert await projector.catch_up() == 1


async def test_what_takes_too_long_is_tried_in_smaller_parts():
    ledger = Ledger(acme=1)
    projector = projector_of(ledger)
    ledger.limit_max = 600
    for _ in range(2):
        with pytest.raises(Unavailable):
            await projector.catch_up()
    assert await projector.catch_up() == 1


@pytest.fixture
async def database(ledger_url):
    pool = make_pool(ledger_url, size_max=6)
    await pool.open()
    yield Database(pool)
    await pool.close()


async def test_it_sees_to_the_time_zone_and_the_months(database):
    for month in range(1, 5):
        moment = datetime(2026, month, 5, tzinfo=UTC)
        await database.rows("SELECT ensure_usage_month(%(moment)s)", {"moment": moment})
    projector = projector_of(
        UsageProjection(database), UsageUpkeep(database), time_zone="Asia/Tokyo", months_kept=12
    )
    await projector.keep_up()
    (row,) = await database.rows("SELECT time_zone, kept_from FROM usage_calendar", {})
    assert row == {"time_zone": "Asia/Tokyo", "kept_from": datetime(2026, 3, 1, tzinfo=UTC)}
    names = await database.rows(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'usage_event'::regclass",
        {},
    )
    found = {name["relname"].removeprefix("usage_event_") for name in names}
    assert {"2026_03", "2026_04", "2027_03", "2027_04"} <= found
    assert not {"2026_01", "2026_02"} & found


async def test_what_is_wrong_with_one_tenant_holds_no_other_up():
    class Broken(Ledger):
        async def project(self, tenants, limit):
            if "bad" in tenants:
                raise ValueError("A number is too large.")
            return await super().project(tenants, limit)

    ledger = Broken(acme=3, bad=5, globex=4)
    projector = projector_of(ledger)
    assert await projector.catch_up() == 7
    assert ledger.left == {"acme": 0, "bad": 5, "globex": 0}
    # It is looked for again, in time.
    assert await projector.catch_up(look=True) == 0
    assert ledger.left["bad"] == 5
