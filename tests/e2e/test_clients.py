"""The Python clients, async and sync, on a real authority."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from authorities import TOKEN
from clients import AdminClient, AuthorityClient, BudgetDenied, Option, Unit, images, usd
from clients.errors import (
    AlreadyCommitted,
    AlreadyExists,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    RefundExceedsCharge,
    ReservationStateError,
    Unavailable,
)
from clients.sync import SyncAdminClient, SyncAuthorityClient
from clients.types import AccountState, DenialReason, Enforcement, ReservationState, Window


@pytest.fixture
def address(authority):
    """Where the authority listens."""
    return f"127.0.0.1:{authority[0].port}"


@pytest.fixture
async def client(address):
    """A client, with an account that may spend a dollar."""
    async with AdminClient(address, token=TOKEN) as admin:
        await admin.create_account("acme")
        await admin.create_budget("acme", unit=Unit.USD, window=Window.DAY, limit=1_000_000)
    async with AuthorityClient(address, token=TOKEN) as authority_client:
        yield authority_client


async def test_the_whole_way(client):
    held = await client.reserve(
        "acme", [usd("0.08"), images(1)], ttl=timedelta(minutes=1), labels={"job": "7"}
    )
    assert held.state is ReservationState.HELD
    assert held.labels == {"job": "7"}
    assert held.expire_time - held.create_time == timedelta(minutes=1)
    paid = await client.commit(held.reservation_id, [usd(Decimal("0.05")), images(1)])
    assert (paid.charged(Unit.USD), paid.charged(Unit.IMAGES)) == (50_000, 1)
    back = await client.refund(held.reservation_id, [usd("0.01")], reason="blurred")
    assert back.leg(Unit.USD).refunded == 10_000
    assert (await client.get_reservation(held.reservation_id)).legs == back.legs
    (balance,) = (await client.get_balance("acme")).balances
    assert (balance.committed, balance.refunded, balance.available) == (50_000, 10_000, 960_000)


async def test_the_first_option_that_fits(client):
    held = await client.reserve(
        "acme", options=[Option((usd(2),), "premium"), Option((usd("0.5"),), "standard")]
    )
    assert held.option_index == 1


async def test_a_denial_says_why(client):
    async with client.reservation("acme", [usd("0.9")]):
        pass
    with pytest.raises(BudgetDenied) as denied:
        await client.reserve("acme", [usd("0.6")])
    (limit,) = denied.value.denial.limiting_budgets
    assert denied.value.denial.reason is DenialReason.BUDGET_EXHAUSTED
    assert (limit.budget, limit.short_by) == ("usd-day", 500_000)
    assert timedelta() < denied.value.retry_after <= timedelta(days=1)


async def test_a_block_commits_what_it_sets(client):
    async with client.reservation("acme", [usd("0.08")]) as held:
        held.actual = [usd("0.05")]
    assert held.reservation.state is ReservationState.COMMITTED
    assert held.reservation.charged(Unit.USD) == 50_000


async def test_a_block_that_sets_nothing_commits_what_was_held(client):
    async with client.reservation("acme", [usd("0.08")]) as held:
        pass
    assert held.reservation.charged(Unit.USD) == 80_000


async def test_a_block_that_raises_gives_the_hold_back(client):
    with pytest.raises(ZeroDivisionError):
        async with client.reservation("acme", [usd("0.08")]) as held:
            _ = 1 / 0
    assert held.reservation.state is ReservationState.RELEASED


async def test_a_block_that_spent_before_it_raised_pays(client):
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
        async with client.reservation("acme", [usd("0.08")]) as held:
            held.actual = [usd("0.03")]
            _ = 1 / 0
    assert held.reservation.charged(Unit.USD) == 30_000


async def test_a_block_that_is_cancelled_gives_the_hold_back(client):
    inside = asyncio.Event()
    kept = []

    async def work():
        async with client.reservation("acme", [usd("0.08")]) as held:
            kept.append(held)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept[0].reservation.state is ReservationState.RELEASED


async def test_each_error_is_its_own(client):
    held = await client.reserve("acme", [usd("0.08")], idempotency_key="one")
    name = held.reservation_id
    assert (await client.reserve("acme", [usd("0.08")], idempotency_key="one")).replayed
    with pytest.raises(IdempotencyKeyReused) as reused:
        await client.reserve("acme", [usd("0.09")], idempotency_key="one")
    assert reused.value.fields == ("options",)
    with pytest.raises(NotFound):
        await client.reserve("nobody", [usd("0.08")])
    with pytest.raises(InvalidRequest) as invalid:
        await client.reserve("Not An Account", [usd(0)])
    assert {field for field, _ in invalid.value.violations} == {
        "account",
        "options[0].legs[0].amount",
    }
    await client.commit(name, [usd("0.08")], idempotency_key="two")
    with pytest.raises(AlreadyCommitted) as committed:
        await client.commit(name, [usd("0.08")])
    assert committed.value.committed_key == "two"
    with pytest.raises(RefundExceedsCharge) as exceeds:
        await client.refund(name, [usd("0.09")])
    assert exceeds.value.refundable == 80_000
    with pytest.raises(ReservationStateError) as state:
        await client.release(name)
    assert state.value.state == "COMMITTED"


async def test_a_wrong_token_and_a_wrong_address(address):
    async with AuthorityClient(address, token="wrong") as stranger:
        with pytest.raises(NotSignedIn):
            await stranger.get_balance("acme")
    async with AuthorityClient("127.0.0.1:1", token=TOKEN, timeout=3) as lost:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            await lost.get_balance("acme")


async def test_an_admin_makes_changes_and_lists(address, client):
    async with AdminClient(address, token=TOKEN) as admin:
        with pytest.raises(AlreadyExists):
            await admin.create_account("acme")
        for number in range(3):
            await admin.create_account(f"acme/user-{number}", display_name=f"User {number}")
        names = [account.account async for account in admin.list_accounts(tenant="acme")]
        assert names == ["acme", "acme/user-0", "acme/user-1", "acme/user-2"]
        budget = await admin.update_budget(
            "acme", "usd-day", limit=10, enforcement=Enforcement.NOTIFY
        )
        assert (budget.limit, budget.enforcement) == (10, Enforcement.NOTIFY)
        assert [item async for item in admin.list_budgets(account="acme")] == [budget]
        await client.reserve("acme", [usd(1)])  # it only notifies now
        report = await admin.audit(tenant="acme")
        assert report.balanced
        assert report.operation_count == 1
        assert (await admin.get_status()).ledger_ok


async def test_an_admin_moves_and_caps_accounts_and_reads_who_did(address, client):
    async with AdminClient(address, token=TOKEN) as admin:
        for name in ("acme/red", "acme/blue"):
            await admin.create_account(name, reserves_per_minute=60, per_request_limits=[usd(1)])
        moved = await admin.update_account("acme/red", parent="acme/blue", reason="one team")
        assert (moved.parent, moved.reserves_per_minute) == ("acme/blue", 60)
        assert moved.per_request_limits == (usd(1),)
        with pytest.raises(BudgetDenied) as denied:
            await client.reserve("acme/red", [usd("1.000001")])
        assert denied.value.denial.reason == DenialReason.PER_REQUEST_CAP
        await admin.update_account("acme/red", per_request_limits=[], reserves_per_minute=0)
        listed = admin.list_accounts(tenant="acme", state=AccountState.ACTIVE, descending=True)
        assert [item.account async for item in listed] == ["acme/red", "acme/blue", "acme"]
        assert [item async for item in admin.list_accounts(parent="acme/nobody")] == []
        cap = await admin.create_budget(
            "acme", unit=Unit.RESERVATIONS, window=Window.TOTAL, limit=3, reason="a cap"
        )
        assert [item async for item in admin.list_budgets(unit=Unit.RESERVATIONS)] == [cap]
        changes = [change async for change in admin.list_changes(account="acme/red")]
    assert [change.reason for change in changes] == ["", "one team", ""]
    uncapped, move, new = changes
    assert (move.before["parent"], move.after["parent"]) == ("acme", "acme/blue")
    assert uncapped.before["per_request_limits"] == [{"unit": "USD", "amount": 1_000_000}]
    assert (new.before, new.method, new.actor) == (None, "CreateAccount", "root token (root)")


async def test_the_sync_clients_do_the_same(address, client):
    def work():
        with SyncAuthorityClient(address, token=TOKEN) as authority:
            with authority.reservation("acme", [usd("0.08")]) as held:
                held.actual = [usd("0.05")]
            assert held.reservation.charged(Unit.USD) == 50_000
            with pytest.raises(BudgetDenied):
                authority.reserve("acme", [usd(5)])
        with SyncAdminClient(address, token=TOKEN) as admin:
            assert [account.account for account in admin.list_accounts()] == ["acme"]
            assert admin.audit().balanced
            assert [change.method for change in admin.list_changes()][-1] == "CreateAccount"

    await asyncio.to_thread(work)
