"""What the Python clients can ask for beyond the plain way, each once, on a real authority."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from authorities import TOKEN
from authority.domain.errors import Unavailable
from clients import (
    AdminClient,
    AlreadyCommitted,
    AuthorityClient,
    BudgetDenied,
    CommitRequest,
    DenialReason,
    Durability,
    GrantState,
    InvalidRequest,
    NotFound,
    Option,
    RefundRequest,
    ReservationState,
    ReserveMode,
    ReserveRequest,
    Unit,
    Window,
    images,
    usd,
)
from clients.sync import SyncAdminClient, SyncAuthorityClient


@pytest.fixture
def address(authority):
    """Where the authority listens."""
    return f"127.0.0.1:{authority[0].port}"


@pytest.fixture
async def admin(address):
    """An admin, with an account that may spend a dollar a day; the books balance at the end."""
    async with AdminClient(address, token=TOKEN, timeout=10) as made:
        await made.create_account("acme")
        await made.create_budget("acme", unit=Unit.USD, window=Window.DAY, limit=1_000_000)
        yield made
        assert (await made.audit()).balanced


@pytest.fixture
async def client(address, admin):
    async with AuthorityClient(address, token=TOKEN, timeout=10) as made:
        yield made


async def reserved(client):
    """Return what is reserved of the account's own budget."""
    return (await client.get_balance("acme")).balances[0].reserved


async def test_a_check_answers_as_a_reserve_and_holds_nothing(client):
    premium, standard = Option((usd(2), images(1)), "premium"), Option((usd("0.5"), images(1)))
    found = await client.check("acme", options=[premium, standard])
    assert (found.reservation_id, found.option_index, found.leg(Unit.IMAGES).reserved) == ("", 1, 1)
    with pytest.raises(BudgetDenied) as denied:
        await client.check("acme", [usd(2)])
    assert denied.value.denial.limiting_budgets[0].short_by == 1_000_000
    assert await reserved(client) == 0


async def test_best_effort_holds_what_is_left(client):
    held = await client.reserve("acme", [usd(3), images(2)], mode=ReserveMode.BEST_EFFORT)
    assert (held.leg(Unit.USD).held, held.leg(Unit.IMAGES).held) == (1_000_000, 2)


async def test_a_hot_reserve_is_asked_for(client, core, monkeypatch):
    # Its answer does not wait for the ledger.
    append, go_on = core.context.journal.append, asyncio.Event()

    async def late(operation, entry):
        await go_on.wait()
        await append(operation, entry)

    monkeypatch.setattr(core.context.journal, "append", late)
    try:
        held = await client.reserve("acme", [usd("0.01")], durability=Durability.HOT)
    finally:
        go_on.set()
    assert (await client.commit(held.reservation_id, [usd("0.01")])).charged(Unit.USD) == 10_000


async def test_parts_are_committed_until_the_last(client):
    held = await client.reserve("acme", [usd("0.30")])
    part = await client.commit(held.reservation_id, [usd("0.10")], final=False, receipt="part 1")
    assert (part.state, part.receipt) == (ReservationState.HELD, "part 1")
    assert (part.leg(Unit.USD).held, part.charged(Unit.USD)) == (200_000, 100_000)
    paid = await client.commit(held.reservation_id, [usd("0.05")])
    assert (paid.state, paid.charged(Unit.USD)) == (ReservationState.COMMITTED, 150_000)


async def test_what_was_released_is_committed_by_force(client):
    held = await client.reserve("acme", [usd("0.30")])
    await client.release(held.reservation_id)
    with pytest.raises(Exception, match="RELEASED"):
        await client.commit(held.reservation_id, [usd("0.20")])
    paid = await client.commit(held.reservation_id, [usd("0.20")], force=True)
    assert (paid.late, paid.charged(Unit.USD)) == (True, 200_000)


async def test_refunds_of_parts_add_up(client):
    held = await client.reserve("acme", [usd("0.30"), images(3)])
    await client.commit(held.reservation_id, [usd("0.30"), images(3)])
    await client.refund(held.reservation_id, [usd("0.10")], reason="one was blurred")
    back = await client.refund(held.reservation_id, [images(1)], reason="and is not counted")
    assert (back.leg(Unit.USD).refunded, back.leg(Unit.IMAGES).refunded) == (100_000, 1)
    all_of_it = await client.refund(held.reservation_id)
    assert all_of_it.leg(Unit.USD).refunded == 300_000


async def test_a_hold_is_extended_in_time_and_amount(client):
    held = await client.reserve("acme", [usd("0.30")], ttl=timedelta(minutes=1))
    longer = await client.extend(
        held.reservation_id, ttl=timedelta(hours=1), legs=[usd("0.20")], idempotency_key="more"
    )
    assert longer.expire_time - held.expire_time > timedelta(minutes=50)
    assert longer.leg(Unit.USD).held == 500_000
    again = await client.extend(
        held.reservation_id, ttl=timedelta(hours=1), legs=[usd("0.20")], idempotency_key="more"
    )
    assert again.replayed
    with pytest.raises(BudgetDenied):
        await client.extend(held.reservation_id, legs=[usd(1)])
    with pytest.raises(InvalidRequest, match="ttl"):
        await client.extend(held.reservation_id)


async def test_an_adjustment_goes_both_ways(client):
    made = await client.adjust("acme", [usd("0.40")], reason="an invoice", idempotency_key="k")
    assert made.operation_id
    again = await client.adjust("acme", [usd("0.40")], reason="an invoice", idempotency_key="k")
    assert (again.operation_id, again.replayed) == (made.operation_id, True)
    await client.adjust("acme", [-usd("0.15")], reason="a credit note")
    (balance,) = (await client.get_balance("acme")).balances
    assert balance.available == 750_000


async def test_a_denial_has_every_limit_and_when_it_ends(client, admin):
    hour = await admin.create_budget("acme", unit=Unit.USD, window=Window.HOUR, limit=400_000)
    await admin.create_budget("acme", unit=Unit.IMAGES, window=Window.DAY, limit=2)
    held = await client.reserve("acme", [usd("0.30"), images(1)])
    await client.commit(held.reservation_id, [usd("0.30"), images(1)])
    with pytest.raises(BudgetDenied) as denied:
        await client.reserve("acme", [usd("0.90"), images(2)], idempotency_key="k")
    denial = denied.value.denial
    assert {item.budget: item.short_by for item in denial.limiting_budgets} == {
        hour.budget: 800_000,
        "usd-day": 200_000,
        "images-day": 1,
    }
    resets = {item.budget: item.reset_time for item in denial.limiting_budgets}
    assert denial.reset_time == resets["usd-day"] == resets["images-day"]
    # In the last hour of a day both end at midnight.
    assert resets[hour.budget] <= resets["usd-day"]
    assert (resets[hour.budget].minute, resets["usd-day"].hour) == (0, 0)
    assert denied.value.retry_after is None  # 0.90 will never fit into an hour
    with pytest.raises(BudgetDenied) as denied:
        await client.reserve("acme", [usd("0.20")])
    assert denied.value.denial.reason is DenialReason.BUDGET_EXHAUSTED
    assert timedelta() < denied.value.retry_after <= timedelta(hours=1)


async def test_grants_are_given_spent_listed_and_voided(client, admin):
    grant = await admin.create_grant(
        "acme",
        unit=Unit.CREDITS,
        amount=5_000_000,
        priority=3,
        refund_grace=timedelta(days=7),
        source="purchase",
        idempotency_key="order-1",
    )
    assert (grant.amount, grant.available, grant.priority) == (5_000_000, 5_000_000, 3)
    assert (grant.state, grant.recurrence) == (GrantState.ACTIVE, None)
    assert (grant.refund_grace, grant.source) == (timedelta(days=7), "purchase")
    again = await admin.create_grant(
        "acme",
        unit=Unit.CREDITS,
        amount=5_000_000,
        priority=3,
        refund_grace=timedelta(days=7),
        source="purchase",
        idempotency_key="order-1",
    )
    assert (again.grant_id, again.replayed) == (grant.grant_id, True)
    free = await admin.create_grant("acme", unit=Unit.IMAGES, amount=3, recurrence=Window.DAY)
    assert free.recurrence is Window.DAY
    held = await client.reserve("acme", [images(2)])
    (receipt,) = held.grants
    assert (receipt.grant_id, receipt.reserved, receipt.held) == (free.grant_id, 2, 2)
    assert receipt.period_start_time is not None
    with pytest.raises(BudgetDenied) as denied:
        await client.reserve("acme", [images(2)])
    (shortage,) = denied.value.denial.grant_shortages
    assert (shortage.unit, shortage.available, shortage.short_by) == (Unit.IMAGES, 1, 1)
    listed = [item.grant_id async for item in admin.list_grants("acme")]
    assert listed == [free.grant_id, grant.grant_id]
    assert [item.unit async for item in admin.list_grants("acme", unit=Unit.IMAGES)] == ["IMAGES"]
    balance = await client.get_balance("acme")
    assert {item.grant_id: item.available for item in balance.grants} == {
        free.grant_id: 1,
        grant.grant_id: 5_000_000,
    }
    voided = await admin.void_grant(grant.grant_id, reason="a chargeback")
    assert (voided.state, voided.expired) == (GrantState.VOIDED, 5_000_000)
    assert (await admin.get_grant(grant.grant_id)).void_time == voided.void_time


async def test_a_batch_answers_each_item_and_one_bad_one_fails_alone(client):
    requests = [
        ReserveRequest("acme", [usd("0.10")], labels={"job": "1"}),
        ReserveRequest("acme", [usd(9)]),
        ReserveRequest("nobody", [usd("0.10")]),
        ReserveRequest("acme", options=[[usd(9)], [usd("0.20")]]),
    ]
    first, denied, unknown, last = await client.batch_reserve(requests)
    assert (first.labels, first.leg(Unit.USD).held) == ({"job": "1"}, 100_000)
    assert last.option_index == 1
    assert isinstance(denied, BudgetDenied)
    # The items are decided at the same time: how much was held before is not said.
    assert 8_000_000 <= denied.denial.limiting_budgets[0].short_by <= 8_300_000
    assert isinstance(unknown, NotFound)
    assert denied.idempotency_key == requests[1].idempotency_key
    again = await client.batch_reserve(requests)
    assert [item.replayed for item in again[::3]] == [True, True]
    assert type(again[1]) is BudgetDenied

    commits = [
        CommitRequest(first.reservation_id, [usd("0.04")], receipt="r"),
        CommitRequest(last.reservation_id, [usd("0.20")], final=False),
        CommitRequest(first.reservation_id, [usd("0.04")]),
    ]
    # The first and the last settle the same reservation: one of them comes too late.
    paid, part, other = await client.batch_commit(commits)
    assert part.state is ReservationState.HELD
    assert sorted([type(paid) is AlreadyCommitted, type(other) is AlreadyCommitted]) == [
        False,
        True,
    ]

    refunds = [
        RefundRequest(first.reservation_id, [usd("0.01")], reason="blurred"),
        RefundRequest(first.reservation_id, [usd("0.50")]),
    ]
    back, too_much = await client.batch_refund(refunds)
    assert back.leg(Unit.USD).refunded == 10_000
    assert too_much.reason == "REFUND_EXCEEDS_CHARGE"
    with pytest.raises(InvalidRequest, match="requests"):
        await client.batch_reserve([])


async def test_items_of_a_batch_that_are_unavailable_are_repeated(client, core, monkeypatch):
    tried, append = [], core.context.journal.append

    async def away_at_first(operation, entry):
        tried.append(operation.idempotency_key)
        if len(tried) <= 2:
            raise Unavailable("The ledger does not answer.")
        await append(operation, entry)

    monkeypatch.setattr(core.context.journal, "append", away_at_first)
    requests = [ReserveRequest("acme", [usd("0.01")]) for _ in range(3)]
    held = await client.batch_reserve(requests)
    assert [item.state for item in held] == [ReservationState.HELD] * 3
    assert await reserved(client) == 30_000


async def test_reservations_are_listed_by_state_and_order(client, admin):
    await admin.create_account("acme/alice")
    held = [await client.reserve("acme", [usd("0.01")]) for _ in range(3)]
    below = await client.reserve("acme/alice", [usd("0.01")])
    await client.release(held[0].reservation_id)
    names = [item.reservation_id for item in (*held, below)]
    listed = [item async for item in client.list_reservations("acme")]
    assert [item.reservation_id for item in listed] == names[::-1]
    assert listed[-1].state is ReservationState.RELEASED
    open_ones = client.list_reservations("acme", state=ReservationState.HELD, descending=False)
    assert [item.reservation_id async for item in open_ones] == names[1:]


async def test_the_past_is_read_from_the_ledger(client, admin):
    first = await client.reserve("acme", [usd("0.40")])
    now = (await client.get_balance("acme")).read_time
    # What is done within the same millisecond would be in its balance.
    while (await client.get_balance("acme")).read_time == now:
        pass
    await client.commit(first.reservation_id, [usd("0.30")])
    then = await client.get_balance("acme", as_of_time=now)
    today = await client.get_balance("acme")
    assert (then.balances[0].reserved, then.balances[0].committed) == (400_000, 0)
    assert (today.balances[0].reserved, today.balances[0].committed) == (0, 300_000)
    assert then != today
    assert today == await client.get_balance("acme")

    entries = [item async for item in admin.list_ledger_entries("acme")]
    assert {item.kind for item in entries} == {"RESERVE", "COMMIT"}
    assert sum(item.amount for item in entries) == 0
    backwards = admin.list_ledger_entries(
        "acme",
        reservation_id=first.reservation_id,
        start_time=entries[0].create_time,
        end_time=entries[-1].create_time + timedelta(milliseconds=1),
        descending=True,
    )
    assert [item.sequence async for item in backwards] == sorted(
        (item.sequence for item in entries), reverse=True
    )
    none = admin.list_ledger_entries("acme", end_time=entries[0].create_time)
    assert [item async for item in none] == []


async def test_hot_state_is_made_anew(client, admin):
    await client.reserve("acme", [usd("0.40")])
    before = (await admin.get_status()).epoch
    report = await admin.rebuild(tenant="acme")
    assert (report.tenant_count, report.epoch) == (1, before + 1)
    assert await reserved(client) == 400_000
    with pytest.raises(NotFound):
        await admin.rebuild(tenant="nobody")


async def test_the_sync_clients_do_the_same(address, client):
    def work():
        with SyncAuthorityClient(address, token=TOKEN, timeout=10) as authority:
            held, denied = authority.batch_reserve(
                [ReserveRequest("acme", [usd("0.10")]), ReserveRequest("acme", [usd(9)])]
            )
            assert isinstance(denied, BudgetDenied)
            authority.extend(held.reservation_id, legs=[usd("0.10")])
            watched = authority.watch_balance("acme")
            assert next(watched).balances[0].reserved == 200_000
            authority.release(held.reservation_id)
            assert next(watched).balances[0].reserved == 0
            watched.close()
            (listed,) = authority.list_reservations("acme")
            assert listed.state is ReservationState.RELEASED
        with SyncAdminClient(address, token=TOKEN, timeout=10) as admin:
            made = admin.create_grant("acme", unit=Unit.CREDITS, amount=1)
            assert [item.grant_id for item in admin.list_grants("acme")] == [made.grant_id]
            assert len(list(admin.list_ledger_entries("acme"))) > 0

    await asyncio.to_thread(work)
