"""The books made what was billed: each cent once, whoever dies, and nobody charged for nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import grpc
import psycopg
import pytest

from authorities import new_key
from authority.domain.errors import Unavailable
from authority.recovery.corrections import Corrections
from authority.v1 import admin_service_pb2 as admin
from authority.wiring.reconciling import make_reconciling
from billing import MODEL, Billing, openai_file, openai_row
from refusals import Refusal, invalid, refused
from support import eventually

DAY = "2026-11-02"


@pytest.fixture
async def bills(stubs, ledger_url):
    """The service, two tenants with a user each, and a connection for what workers write."""
    for account in ("acme", "acme/alice", "globex", "globex/bob"):
        await stubs.account(account)
    for account in ("acme", "globex"):
        await stubs.set_budget(account, 1_000_000_000, window="TOTAL")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        yield Billing(stubs, connection)


@pytest.fixture
def books(stubs, ledger_url):
    """A function that sums the account's books of a tenant in USD."""

    async def sums(tenant):
        async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
            cursor = await connection.execute(
                "SELECT book, sum(amount)::bigint FROM ledger_entry WHERE tenant = %s"
                " AND unit = 'USD' AND budget_key IS NULL GROUP BY book",
                [tenant],
            )
            return Counter({book: amount for book, amount in await cursor.fetchall() if amount})

    return sums


async def bill(bills, usd, day=DAY, model=MODEL):
    """Import a bill of a day."""
    await bills.import_file(openai_file(openai_row(day, usd, f"{model}, image output")))


def parts_of(response):
    return {(part.account, part.amount, part.refunded) for part in response.adjustment.parts}


async def test_a_day_whose_events_were_dropped_is_not_adjusted(bills, core):
    """What services have booked for their own calls of it is known no more."""
    await bills.attempt("acme/alice", 30_000, f"{DAY}T01:00:00")
    await bill(bills, "0.090")
    await core.database.rows(
        "UPDATE usage_calendar SET kept_from = '2026-11-03 00:00+00' RETURNING 1", {}
    )
    assert (await refused(bills.adjust(DAY))).metadata["state"] == "EVENTS_DROPPED"
    await core.database.rows(
        "UPDATE usage_calendar SET kept_from = '2026-11-02 00:00+00' RETURNING 1", {}
    )
    assert (await bills.adjust(DAY)).adjustment.amount == 60_000


async def test_what_was_not_billed_is_given_back(bills, books, stubs):
    await bills.attempt("acme/alice", 30_000, f"{DAY}T01:00:00")
    first = await bills.attempt("acme/alice", 40_000, f"{DAY}T02:00:00", presumed=True)
    second = await bills.attempt("globex/bob", 50_000, f"{DAY}T03:00:00", presumed=True)
    third = await bills.attempt("globex/bob", 20_000, f"{DAY}T04:00:00", presumed=True)
    await bill(bills, "0.090")
    day = await bills.day()
    assert (day.booked, day.presumed, day.presumed_billed, day.difference) == (
        *(140_000, 110_000, 60_000, -50_000),
    )
    assert (day.call_count, day.presumed_count) == (4, 3)
    attempts = await bills.presumed(page_size=1)
    assert [(found.generation_id, found.booked, found.billed) for found in attempts] == [
        (first, 40_000, 40_000),
        (second, 50_000, 20_000),
        (third, 20_000, 0),
    ]
    assert all(found.covered for found in attempts)
    made = await bills.adjust(DAY, reason="never made")
    assert parts_of(made) == {("globex/bob", -30_000, 30_000), ("globex/bob", -20_000, 20_000)}
    assert (made.adjustment.amount, made.adjustment.refunded) == (-50_000, 50_000)
    assert made.adjustment.HasField("finish_time")
    day = await bills.day()
    assert (day.adjusted, day.difference, day.presumed, day.presumed_billed) == (
        *(-50_000, 0, 60_000, 60_000),
    )
    assert await books("globex") == {"PROVIDER": -20_000, "CHARGED": 20_000}
    assert await books("acme") == {"PROVIDER": -70_000, "CHARGED": 70_000}
    # The image that was never made is given back too; of the other a part was made, it seems.
    (leg,) = [leg for leg in (await reservation(stubs, attempts[2])).legs if leg.refunded == 1]
    assert leg.charged == 1
    assert await stubs.differences() == []


async def reservation(stubs, attempt):
    return await stubs.get(attempt.reservation_id)


async def test_charges_may_be_kept(bills, books, stubs):
    await bills.attempt("acme/alice", 40_000, f"{DAY}T02:00:00", presumed=True)
    await bills.import_file(openai_file(), start_day=DAY, end_day=DAY)
    made = await bills.adjust(DAY, keep_charges=True)
    assert parts_of(made) == {("acme/alice", -40_000, 0)}
    assert await books("acme") == {"CHARGED": 40_000, "ABSORBED": -40_000}
    assert await stubs.differences() == []


async def test_what_was_refunded_already_is_not_refunded_twice(bills, books, stubs):
    await bills.attempt("acme/alice", 40_000, f"{DAY}T02:00:00", presumed=True)
    await bills.attempt("acme/alice", 40_000, f"{DAY}T03:00:00", presumed=True)
    first, second = await bills.presumed()
    await stubs.refund(first.reservation_id)
    await stubs.refund(second.reservation_id, {"USD": 35_000})
    await bill(bills, "0.01")
    made = await bills.adjust(DAY)
    assert made.adjustment.refunded == 5_000
    assert (await books("acme"))["CHARGED"] == 0
    assert (await bills.day()).difference == 0
    assert await stubs.differences() == []


async def test_what_was_billed_beyond_is_shared_out_by_what_is_booked(bills, books, stubs):
    await bills.attempt("acme/alice", 10_000, f"{DAY}T01:00:00")
    await bills.attempt("globex/bob", 20_000, f"{DAY}T02:00:00")
    await bill(bills, "0.0401")
    made = await bills.adjust(DAY)
    assert parts_of(made) == {("acme", 3_367, 0), ("globex", 6_733, 0)}
    # The platform carries it: nobody is charged for what nobody could know.
    assert await books("acme") == {"PROVIDER": -13_367, "CHARGED": 10_000, "ABSORBED": 3_367}
    assert (await stubs.balance("acme"))["acme", "usd-total"][1] == 10_000
    assert (await bills.day()).difference == 0
    entries = await stubs.admin.ListLedgerEntries(
        admin.ListLedgerEntriesRequest(account="acme"), metadata=stubs.metadata
    )
    kinds = {entry.kind for entry in entries.entries if entry.book in {"PROVIDER", "ABSORBED"}}
    assert kinds == {"COMMIT", "ADJUST"}
    assert await stubs.differences() == []
    # Another bill says another sum: what is adjusted then is the rest.
    await bill(bills, "0.0395")
    assert (await bills.day()).difference == -600
    assert (await bills.adjust(DAY)).adjustment.amount == -600
    assert (await bills.day()).difference == 0
    assert [made.amount for made in await bills.adjustments(page_size=1)] == [-600, 10_100]


async def test_an_account_may_be_named_and_must_be_where_nothing_is_booked(bills, books, stubs):
    await bill(bills, "0.5", model="dall-e-3")
    assert await invalid(bills.adjust(DAY, "dall-e-3")) == ["account"]
    missing = await refused(bills.adjust(DAY, "dall-e-3", account="nobody"))
    assert missing.code == "NOT_FOUND"
    assert parts_of(await bills.adjust(DAY, "dall-e-3", account="acme")) == {("acme", 500_000, 0)}
    assert await books("acme") == {"PROVIDER": -500_000, "ABSORBED": 500_000}
    assert (await bills.day()).difference == 0
    assert await stubs.differences() == []


async def test_one_key_adjusts_once(bills, books):
    await bills.attempt("acme/alice", 10_000, f"{DAY}T01:00:00")
    await bill(bills, "0.02")
    key = new_key()
    first = await bills.adjust(DAY, key=key)
    again = await bills.adjust(DAY, key=key)
    assert again.replayed
    assert again.adjustment == first.adjustment
    reused = await refused(bills.adjust(DAY, key=key, reason="another"))
    assert (reused.reason, reused.metadata["fields"]) == ("IDEMPOTENCY_KEY_REUSED", "reason")
    assert (await books("acme"))["PROVIDER"] == -20_000


async def test_there_must_be_a_bill_and_a_difference(bills):
    await bills.attempt("acme/alice", 10_000, f"{DAY}T01:00:00")
    none = await refused(bills.adjust(DAY))
    assert (none.code, none.reason, none.metadata["state"]) == (
        *("FAILED_PRECONDITION", "BILL_STATE", "NO_BILL"),
    )
    await bill(bills, "0.01")
    assert (await refused(bills.adjust(DAY))).metadata["state"] == "MATCHED"
    fields = await invalid(bills.adjust("", "", "", key="bill-adjustment/1", reason=""))
    assert set(fields) == {"day", "model", "provider", "idempotency_key", "reason"}


async def test_two_at_once_adjust_once(bills, books):
    await bills.attempt("acme/alice", 10_000, f"{DAY}T01:00:00")
    await bill(bills, "0.05")

    async def adjusted():
        try:
            await bills.adjust(DAY)
        except grpc.aio.AioRpcError as error:
            assert Refusal.of(error).metadata["state"] == "MATCHED"
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(adjusted()) for _ in range(5)]
    assert sum(task.result() for task in tasks) == 1
    assert (await books("acme"))["PROVIDER"] == -50_000


@pytest.mark.parametrize("verb", ["record", "refund"])
async def test_whoever_dies_is_finished_for_once(
    bills, books, core, stubs, ledger_url, monkeypatch, verb
):
    for hour in range(4):
        await bills.attempt("acme/alice", 10_000, f"{DAY}T0{hour}:00:00", presumed=hour > 0)
    await bill(bills, "0.01")
    calls = 0
    real = getattr(core.context.hot, verb)

    async def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Unavailable("It is gone.")
        return await real(*arguments)

    monkeypatch.setattr(core.context.hot, verb, dying)
    key = new_key()
    assert (await refused(bills.adjust(DAY, key=key))).code == "UNAVAILABLE"
    (planned,) = await bills.adjustments()
    assert not planned.HasField("finish_time")
    # It was written down what is to be done: nobody can plan it again.
    assert (await bills.day()).difference == 0
    assert (await refused(bills.adjust(DAY))).metadata["state"] == "MATCHED"
    monkeypatch.undo()
    context = make_reconciling(
        core.database, core.context, core.locator, core.generations.catalogue
    )
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(Corrections(context).settle())
    (finished,) = await bills.adjustments()
    assert finished.HasField("finish_time")
    assert await bills.adjust(DAY, key=key) == type(await bills.adjust(DAY, key=key))(
        adjustment=finished, replayed=True
    )
    assert await books("acme") == {"PROVIDER": -10_000, "CHARGED": 10_000}
    assert await stubs.differences() == []


async def test_the_finisher_runs_in_every_authority(bills, core, books, monkeypatch):
    await bills.attempt("acme/alice", 10_000, f"{DAY}T01:00:00")
    await bill(bills, "0.02")
    monkeypatch.setattr("authority.recovery.corrections.TICK_SECONDS", 0.05)

    async def away(*_):
        raise Unavailable("It is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(core.context.hot, "record", away)
        assert (await refused(bills.adjust(DAY))).code == "UNAVAILABLE"

    async def finished():
        (made,) = await bills.adjustments()
        return made.HasField("finish_time")

    await eventually(finished)
    assert (await books("acme"))["PROVIDER"] == -20_000


async def test_any_day_is_made_what_was_billed(bills, books, stubs):
    choice = random.Random(20)
    spent = Counter()
    for number in range(10):
        day = f"2026-10-{number + 1:02}"
        for _ in range(choice.randint(0, 4)):
            account = choice.choice(["acme/alice", "globex/bob"])
            cost = choice.randint(1, 50_000)
            await bills.attempt(account, cost, f"{day}T01:00:00", presumed=choice.random() < 0.5)
        billed = choice.choice([0, choice.randint(1, 150_000)])
        item = f"{MODEL}, image output"
        rows = [openai_row(day, f"{billed / 1_000_000:.6f}", item)] if billed else []
        await bills.import_file(openai_file(*rows), start_day=day, end_day=day, source=day)
        spent["billed"] += billed
        for found in await bills.days(start_day=day, end_day=day):
            known = found.booked - found.presumed
            assert found.presumed_billed == min(max(found.billed - known, 0), found.presumed)
            attempts = await bills.presumed(start_day=day, end_day=day)
            assert sum(attempt.billed for attempt in attempts) == found.presumed_billed
            left = found.presumed_billed
            for attempt in attempts:
                assert attempt.billed == min(left, attempt.booked)
                left -= attempt.billed
            if found.difference:
                await bills.adjust(day, account="" if found.booked else "acme")
    assert {found.difference for found in await bills.days()} == {0}
    provider = [(await books(tenant))["PROVIDER"] for tenant in ("acme", "globex")]
    assert -sum(provider) == spent["billed"]
    for tenant in ("acme", "globex"):
        assert sum((await books(tenant)).values()) == 0
    assert await stubs.differences() == []
