"""What the ledger remembers: entries, reservations, and balances as of an earlier time."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import resources_pb2
from calls import send
from refusals import invalid, refused

DAY = 86_400


@pytest.fixture
async def acme(stubs):
    """A tenant with two accounts below it, one below the other."""
    await stubs.account("acme")
    await stubs.account("acme/team")
    await stubs.account("acme/alice", parent="acme/team")
    await stubs.set_budget("acme", 1_000)
    await stubs.set_budget("acme/team", 500, window="TOTAL")
    return stubs


@pytest.fixture
def clock(core):
    """The clock, to be moved."""

    class Clock:
        def now_ms(self):
            return core.hot.clock.now_ms()

        def go(self, seconds):
            core.hot.clock.offset_ms += int(seconds * 1000)

    return Clock()


def moment(milliseconds):
    stamp = Timestamp()
    stamp.FromMilliseconds(milliseconds)
    return stamp


async def entries(stubs, account="acme", **fields):
    request = admin.ListLedgerEntriesRequest(account=account, page_size=1_000, **fields)
    return list((await send(stubs, request)).entries)


async def pages(stubs, make, rows):
    """Return what all pages of two rows hold, one after the other."""
    found, token = [], ""
    while True:
        page = await send(stubs, make(page_size=2, page_token=token))
        assert len(rows(page)) == 2 or not page.next_page_token
        found += rows(page)
        if not (token := page.next_page_token):
            return found


async def test_every_operation_leaves_entries_that_sum_to_zero(acme):
    held = (await acme.reserve("acme/alice", {"USD": 100}, key="one")).reservation
    await acme.commit(held.reservation_id, {"USD": 70}, key="two")
    await acme.refund(held.reservation_id, {"USD": 20}, key="three")
    grant = await acme.grant("acme", "CREDITS", 9, key="four")
    rows = await entries(acme)
    assert [row.sequence for row in rows] == sorted(row.sequence for row in rows)
    assert [(row.kind, row.idempotency_key) for row in rows if row.line == 0] == [
        ("RESERVE", "one"),
        ("COMMIT", "two"),
        ("REFUND", "three"),
        ("GRANT", "four"),
    ]
    sums = defaultdict(int)
    for row in rows:
        sums[row.operation_id, row.budget, row.unit] += row.amount
    assert set(sums.values()) == {0}
    # What the books say of a budget is what its balance says.
    books = defaultdict(int)
    for row in rows:
        books[row.budget, row.book] += row.amount
    assert books["acme usd-day", "RESERVED"] == 0
    assert books["acme usd-day", "COMMITTED"] == 70
    assert books["acme usd-day", "REFUNDED"] == -20
    assert books["", "CHARGED"] == 50
    day_rows = [row for row in rows if row.budget == "acme usd-day"]
    assert all(row.HasField("window_start_time") for row in day_rows)
    total_rows = [row for row in rows if row.budget == "acme/team usd-total"]
    assert total_rows
    assert not any(row.HasField("window_start_time") for row in total_rows)
    assert grant.grant_id
    await acme.reserve("acme", {"CREDITS": 4})
    taken = [row for row in await entries(acme) if row.grant_id]
    assert {(row.grant_id, row.book, row.amount) for row in taken} == {
        (grant.grant_id, "RESERVED", 4),
        (grant.grant_id, "AVAILABLE", -4),
    }


async def test_entries_are_chosen_by_account_reservation_and_time(acme, clock):
    held = (await acme.reserve("acme/alice", {"USD": 1})).reservation
    clock.go(10)
    between = moment(clock.now_ms() - 5_000)
    later = (await acme.reserve("acme", {"USD": 2})).reservation
    both = {held.reservation_id, later.reservation_id}

    async def seen(**fields):
        return {row.reservation_id for row in await entries(acme, **fields)}

    assert await seen() == both
    assert await seen(account="acme/team") == {held.reservation_id}
    assert await seen(account="acme/alice") == {held.reservation_id}
    assert await seen(reservation_id=later.reservation_id) == {later.reservation_id}
    assert await seen(start_time=between) == {later.reservation_id}
    assert await seen(end_time=between) == {held.reservation_id}
    assert await seen(end_time=moment(held.create_time.ToMilliseconds())) == set()
    assert await seen(start_time=moment(held.create_time.ToMilliseconds())) == both


@pytest.mark.parametrize("order_by", ["sequence", "sequence desc"])
async def test_entries_are_paged_in_order(acme, order_by):
    for _ in range(3):
        await acme.reserve("acme", {"USD": 1})

    def make(**fields):
        return admin.ListLedgerEntriesRequest(account="acme", order_by=order_by, **fields)

    found = await pages(acme, make, lambda page: list(page.entries))
    places = [(row.sequence, row.line) for row in found]
    assert places == sorted(places, reverse=order_by.endswith("desc"))
    assert len(set(places)) == len(await entries(acme)) == 6


async def test_reservations_are_listed_with_those_below(acme, clock):
    made = []
    for account in ("acme", "acme/team", "acme/alice"):
        made.append((await acme.reserve(account, {"USD": 5})).reservation)
        clock.go(1)
    await acme.commit(made[1].reservation_id, {"USD": 5})

    async def listed(account="acme", **fields):
        request = budget.ListReservationsRequest(account=account, **fields)
        return [row.reservation_id for row in (await send(acme, request)).reservations]

    ids = [reservation.reservation_id for reservation in made]
    assert await listed() == ids[::-1]
    assert await listed(order_by="create_time") == ids
    assert await listed("acme/team") == [ids[2], ids[1]]
    assert await listed(state="RESERVATION_STATE_HELD") == [ids[2], ids[0]]
    assert await listed(state="RESERVATION_STATE_COMMITTED") == [ids[1]]

    def make(**fields):
        return budget.ListReservationsRequest(account="acme", order_by="create_time", **fields)

    found = await pages(acme, make, lambda page: list(page.reservations))
    assert [row.reservation_id for row in found] == ids
    assert found[1] == await acme.get(ids[1])


async def test_a_listing_that_makes_no_sense_is_refused(acme):
    listing = admin.ListLedgerEntriesRequest
    for request, field in [
        (listing(account="acme", order_by="amount"), "order_by"),
        (listing(account="acme", reservation_id="nonsense"), "reservation_id"),
        (listing(account="acme", start_time=moment(2_000), end_time=moment(1_000)), "end_time"),
        (listing(account="acme", start_time=Timestamp(seconds=-5)), "start_time"),
        (listing(account="acme", page_token="nonsense"), "page_token"),
        (listing(account="acme", page_size=-1), "page_size"),
        (listing(), "account"),
        (budget.ListReservationsRequest(account="acme", order_by="state"), "order_by"),
        (budget.ListReservationsRequest(account="acme", state=99), "state"),
    ]:
        assert await invalid(send(acme, request)) == [field]
    for request in (
        listing(account="acme/nobody"),
        budget.ListReservationsRequest(account="nobody"),
    ):
        assert (await refused(send(acme, request))).code == "NOT_FOUND"
    token = (await send(acme, budget.ListReservationsRequest(account="acme"))).next_page_token
    assert token == ""


async def balance_at(stubs, milliseconds, account="acme/alice"):
    request = budget.GetBalanceRequest(account=account, as_of_time=moment(milliseconds))
    return await send(stubs, request)


async def test_a_balance_of_the_past_is_what_it_was(acme, clock):
    history = []

    async def note():
        clock.go(1)
        request = budget.GetBalanceRequest(account="acme/alice")
        history.append((clock.now_ms(), await send(acme, request)))
        clock.go(1)

    await note()
    held = (await acme.reserve("acme/alice", {"USD": 100})).reservation
    await note()
    await acme.commit(held.reservation_id, {"USD": 70})
    await note()
    await acme.refund(held.reservation_id, {"USD": 20})
    await note()
    clock.go(2 * DAY)
    await acme.reserve("acme/alice", {"USD": 3})
    await note()
    for now, was in history:
        read = await balance_at(acme, now)
        assert read.balances == was.balances
        assert read.read_time.ToMilliseconds() == now
    assert [row.balances[0].available for _, row in history] == [500, 400, 430, 450, 447]
    assert [row.balances[1].available for _, row in history] == [1000, 900, 930, 950, 997]
    for (early, _), (late, _) in pairwise(history):
        assert early < late


async def test_what_was_done_at_a_moment_is_in_its_balance(acme, clock):
    clock.go(1)
    held = (await acme.reserve("acme/alice", {"USD": 100})).reservation
    now_ms = held.create_time.ToMilliseconds()
    clock.go(1)
    for moment_ms, available in ((now_ms - 1, 500), (now_ms, 400)):
        assert (await balance_at(acme, moment_ms)).balances[0].available == available


async def test_a_limit_of_the_past_is_what_it_was(acme, clock):
    moments = []
    for limit in (300, 200, 700):
        moments.append(clock.now_ms())
        clock.go(10)
        changed = resources_pb2.Budget(account="acme/team", budget="usd-total", limit=limit)
        request = admin.UpdateBudgetRequest(budget=changed)
        request.update_mask.paths.append("limit")
        await send(acme, request)
    moments.append(clock.now_ms())
    limits = [(await balance_at(acme, moment)).balances[0].budget.limit for moment in moments]
    assert limits == [500, 300, 200, 700]


async def test_what_was_made_later_was_not_there(acme, clock):
    before = clock.now_ms()
    clock.go(10)
    await acme.set_budget("acme/alice", 7, unit="IMAGES")
    grant = await acme.grant("acme", "CREDITS", 9)
    await acme.reserve("acme/alice", {"CREDITS": 4})
    clock.go(10)
    between = clock.now_ms()
    clock.go(10)
    await acme.void_grant(grant.grant_id)
    was = await balance_at(acme, before + 5_000)
    assert [row.budget.unit for row in was.balances] == [1, 1]
    assert list(was.grants) == []
    then = await balance_at(acme, between)
    assert then.balances[0].budget.budget == "images-day"
    (row,) = then.grants
    assert (row.grant_id, row.reserved, row.available) == (grant.grant_id, 4, 5)
    assert not row.HasField("void_time")


async def test_a_grant_that_is_spent_is_in_no_balance(acme):
    grant = await acme.grant("acme", "CREDITS", 9)
    held = (await acme.reserve("acme", {"CREDITS": 9})).reservation
    request = budget.GetBalanceRequest(account="acme")
    assert [row.grant_id for row in (await send(acme, request)).grants] == [grant.grant_id]
    await acme.commit(held.reservation_id, {"CREDITS": 9})
    assert list((await send(acme, request)).grants) == []
    await acme.refund(held.reservation_id, {"CREDITS": 1})
    assert [row.available for row in (await send(acme, request)).grants] == [1]


async def test_the_future_is_not_known(acme, clock):
    request = budget.GetBalanceRequest(account="acme", as_of_time=moment(clock.now_ms() + 60_000))
    assert await invalid(send(acme, request)) == ["as_of_time"]
    request = budget.GetBalanceRequest(account="acme", as_of_time=Timestamp(seconds=-5))
    assert await invalid(send(acme, request)) == ["as_of_time"]
    assert (await refused(balance_at(acme, clock.now_ms(), "acme/nobody"))).code == "NOT_FOUND"
