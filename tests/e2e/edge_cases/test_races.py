"""Calls that meet: whichever comes first, one of them has its effect and the others are told."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import Account, Budget
from calls import send
from refusals import Refusal

DAY = ("acme", "usd-day")


@pytest.fixture
async def pair(make_authority_process, ledger_url, redis_url):
    """Two authority processes on the same stores."""
    processes = [await make_authority_process(ledger_url, redis_url) for _ in range(2)]
    return [await process.start() for process in processes]


async def spend_from(stubs, limit=1_000_000):
    await stubs.account("acme")
    await stubs.set_budget("acme", limit)


async def outcome(call):
    """Return OK, or why a call was refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return Refusal.of(error)
    return "OK"


async def all_at_once(calls):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(call)) for call in calls]
    return [task.result() for task in tasks]


async def test_commit_and_release_race_and_exactly_one_of_them_wins(pair):
    """Case 5."""
    await spend_from(pair[0])
    held = [(await pair[0].reserve("acme", {"USD": 100})).reservation for _ in range(40)]
    names = [reservation.reservation_id for reservation in held]
    calls = []
    for index, name in enumerate(names):
        one, other = pair[:: 1 if index % 2 else -1]
        calls += [one.commit(name, {"USD": 70}), other.release(name)]
    results = await all_at_once(calls)
    committed = 0
    for commit, release in zip(results[::2], results[1::2], strict=True):
        committed += commit == "OK"
        (loser,) = [answer for answer in (commit, release) if answer != "OK"]
        state = "COMMITTED" if commit == "OK" else "RELEASED"
        assert (loser.reason, loser.metadata["state"]) == ("RESERVATION_STATE", state)
    charged = committed * 70
    assert (await pair[0].balance("acme"))[DAY] == (0, charged, 0, 1_000_000 - charged)
    assert await pair[0].differences() == []


async def test_two_commits_with_different_keys_at_once_charge_once(pair):
    """Case 7."""
    await spend_from(pair[0])
    name = (await pair[0].reserve("acme", {"USD": 100})).reservation.reservation_id
    keys = [new_key() for _ in range(20)]
    results = await all_at_once(
        pair[index % 2].commit(name, {"USD": 10 + index}, key=key) for index, key in enumerate(keys)
    )
    (winner,) = [index for index, answer in enumerate(results) if answer == "OK"]
    for answer in results[:winner] + results[winner + 1 :]:
        assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "ALREADY_COMMITTED")
        assert answer.metadata["idempotency_key"] == keys[winner]
    assert (await pair[0].balance("acme"))[DAY][:2] == (0, 10 + winner)
    assert await pair[0].differences() == []


async def test_refunds_that_race_give_back_no_more_than_was_charged(pair):
    """Case 17."""
    await spend_from(pair[0])
    name = (await pair[0].reserve("acme", {"USD": 100})).reservation.reservation_id
    await pair[0].commit(name, {"USD": 95})
    results = await all_at_once(pair[index % 2].refund(name, {"USD": 10}) for index in range(30))
    reasons = Counter(getattr(answer, "reason", answer) for answer in results)
    assert reasons == {"OK": 9, "REFUND_EXCEEDS_CHARGE": 21}
    await pair[1].refund(name, {"USD": 5})
    assert (await pair[0].balance("acme"))[DAY] == (0, 95, 95, 1_000_000)
    assert await pair[0].differences() == []


async def test_a_settings_change_that_races_charges_erases_none_of_them(pair):
    """Case 21."""
    await spend_from(pair[0])

    async def charge(number):
        held = await pair[number % 2].reserve("acme", {"USD": 100})
        await pair[1 - number % 2].commit(held.reservation.reservation_id, {"USD": 60})

    async def change(number):
        # Read, and written back as it was read, as a settings page does.
        stubs = pair[number % 2]
        read = await send(stubs, admin.GetBudgetRequest(account="acme", budget="usd-day"))
        assert read.budget.limit >= 1_000_000
        changed = Budget(account="acme", budget="usd-day", limit=1_000_000 + number)
        mask = FieldMask(paths=["limit"])
        await send(stubs, admin.UpdateBudgetRequest(budget=changed, update_mask=mask))
        account = Account(account="acme", display_name=f"Acme {number}")
        mask = FieldMask(paths=["display_name"])
        await send(stubs, admin.UpdateAccountRequest(account=account, update_mask=mask))

    calls = [work(number) for number in range(30) for work in (charge, charge, change)]
    assert set(await all_at_once(calls)) == {"OK"}
    _, committed, _, _ = (await pair[0].balance("acme"))[DAY]
    assert committed == 60 * 60
    assert await pair[0].differences() == []


async def test_first_ever_requests_at_once_of_an_account_that_nobody_knew(pair):
    """Case 29: it is made in the middle of them, and no more is held than its limit."""
    unknown = await all_at_once(pair[n % 2].reserve("acme", {"USD": 1}) for n in range(50))
    assert {answer.code for answer in unknown} == {"NOT_FOUND"}
    await spend_from(pair[0], limit=25)
    first = await all_at_once(pair[n % 2].reserve("acme", {"USD": 1}) for n in range(100))
    assert Counter(getattr(answer, "reason", answer) for answer in first) == {
        "OK": 25,
        "DENIED": 75,
    }
    assert (await pair[0].balance("acme"))[DAY] == (25, 0, 0, 0)
    assert await pair[0].differences() == []
