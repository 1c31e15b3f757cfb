"""One effect per key, and the first answer for ever: whatever the hot store has forgotten."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authorities import new_key
from authority.recovery import sweep
from authority.recovery.outbox import Outbox
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2
from authority.v1.resources_pb2 import Budget
from calls import send
from refusals import refused
from support import eventually

DAY = ("acme", "usd-day")
# Keys of which the hot store may have forgotten the answers, and those that tell no time or lie.
OLD_KEYS = {
    "any text": "gen:1:reserve 🦊",
    "UUIDv4": "5f0c7127-4a0b-4b0e-9b0c-3f1f9b1b2a10",
    "old UUIDv7": "0190a0b2-0000-7000-8000-000000000000",
    "UUIDv7 of the year 2100": "03bb2cc3-d800-7000-8000-000000000000",
    "UUIDv7 of the last moment": "ffffffff-ffff-7fff-bfff-ffffffffffff",
}


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    return stubs


@pytest.fixture
def forget(core):
    """A function that takes the answers, or everything of the kind, out of the hot store."""

    async def forget(*kinds):
        for kind in kinds:
            found = [key async for key in core.hot.redis.scan_iter(f"*:{kind}:*")]
            assert found
            await core.hot.redis.delete(*found)

    return forget


async def all_verbs(stubs, key):
    """Reserve, settle in every way, and return all answers."""
    keys = [f"{key[:-1]}{number}" for number in range(5)]
    held = await stubs.reserve("acme", {"USD": 100}, key=keys[0], labels={"a": "1", "b": "2"})
    name = held.reservation.reservation_id
    paid = await stubs.commit(name, {"USD": 70}, key=keys[1])
    back = await stubs.refund(name, {"USD": 20}, key=keys[2])
    other = await stubs.reserve("acme", {"USD": 5}, key=keys[3])
    left = await stubs.release(other.reservation.reservation_id, key=keys[4], reason="no need")
    return [held, paid, back, other, left]


@pytest.mark.parametrize("key", OLD_KEYS.values(), ids=OLD_KEYS)
async def test_answers_are_the_first_ones_though_the_hot_store_forgot_them(acme, forget, key):
    first = await all_verbs(acme, key)
    await forget("answer", "reservation", "window")
    again = await all_verbs(acme, key)
    assert [answer.replayed for answer in first + again] == [False] * 5 + [True] * 5
    assert [answer.reservation for answer in again] == [answer.reservation for answer in first]
    assert (await acme.balance("acme"))[DAY] == (0, 70, 20, 950)
    assert await acme.differences() == []


@pytest.mark.parametrize("key", [new_key(), OLD_KEYS["any text"]], ids=["hot", "forgotten"])
async def test_a_denial_stays_one_after_the_limit_was_raised(acme, core, forget, key):
    await refused(acme.reserve("acme", {"USD": 1_001}, key=key))
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="acme", budget="usd-day", limit=5_000),
        update_mask=FieldMask(paths=["limit"]),
    )
    await send(acme, request)
    if key == OLD_KEYS["any text"]:
        await eventually(lambda: core.ledger.find_operation("acme", key))
        await forget("answer")
    refusal = await refused(acme.reserve("acme", {"USD": 1_001}, key=key))
    assert (refusal.reason, refusal.metadata["replayed"]) == ("DENIED", "true")
    (row,) = refusal.detail(errors_pb2.Denial).limiting_budgets
    assert (row.limit, row.short_by) == (1_000, 1)
    await acme.reserve("acme", {"USD": 1_001})


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_key_used_for_another_request_names_what_differs(acme, forget, forgotten):
    await acme.account("acme/alice")
    await acme.account("globex")
    await acme.set_budget("globex", 1_000)
    keys = [f"key {number}" for number in range(4)]
    name = (await acme.reserve("acme", {"USD": 9}, key=keys[0])).reservation.reservation_id
    other = (await acme.reserve("acme", {"USD": 9})).reservation.reservation_id
    await acme.commit(name, {"USD": 9}, key=keys[1])
    await acme.refund(name, {"USD": 1}, key=keys[2])
    await acme.release(other, key=keys[3], reason="a")
    if forgotten:
        await forget("answer")
    for call, fields in [
        (acme.reserve("acme/alice", {"USD": 9}, key=keys[0]), "account"),
        (acme.reserve("acme", {"USD": 9}, {"USD": 1}, key=keys[0]), "options"),
        (acme.reserve("acme", {"USD": 9}, key=keys[0], labels={"a": ""}), "labels"),
        (acme.reserve("acme", {"USD": 9}, key=keys[0], ttl=1), "ttl_ms"),
        (acme.commit(name, {"USD": 8}, key=keys[1]), "actual"),
        (acme.commit(other, {"USD": 9}, key=keys[1]), "reservation_id"),
        (acme.commit(name, {}, key=keys[1]), "actual"),
        (acme.refund(name, key=keys[2]), "legs"),
        (acme.release(other, key=keys[3], reason="b"), "reason"),
        (acme.release(name, key=keys[1]), "actual, kind, reason"),
        (acme.commit(name, {"USD": 9}, key=keys[0]), None),
    ]:
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
        assert fields is None or refusal.metadata["fields"] == fields
    # Another tenant's keys are its own.
    assert not (await acme.reserve("globex", {"USD": 9}, key=keys[0])).replayed
    assert await acme.differences() == []


async def test_what_is_not_an_answer_is_not_kept(acme):
    key = new_key()
    name = (await acme.reserve("acme", {"USD": 9})).reservation.reservation_id
    assert (await refused(acme.refund(name + "0", key=key))).reason == "INVALID_FIELD"
    assert (await refused(acme.reserve("acme/nobody", {"USD": 1}, key=key))).code == "NOT_FOUND"
    await acme.commit(name, {"USD": 9})
    assert (await refused(acme.release(name, key=key))).reason == "RESERVATION_STATE"
    assert (await refused(acme.refund(name, {"USD": 10}, key=key))).code == "FAILED_PRECONDITION"
    assert not (await acme.refund(name, {"USD": 9}, key=key)).replayed


async def test_a_hot_store_that_contradicts_the_ledger_is_rebuilt(acme, core, forget, monkeypatch):
    """A fresh answer that was lost alone, as by an eviction, is booked twice by the hot store."""
    await acme.account("globex")
    await acme.set_budget("globex", 1_000)
    key, epoch = new_key(), core.hot.epoch
    first = await acme.reserve("acme", {"USD": 100}, key=key)
    await forget("answer")
    assert (await refused(acme.reserve("acme", {"USD": 100}, key=key))).code == "UNAVAILABLE"
    monkeypatch.setattr(sweep, "_OUTBOX_GRACE_MS", 0)
    await eventually(lambda: core.hot.epoch not in {None, epoch})
    again = await acme.reserve("acme", {"USD": 100}, key=key)
    assert again.replayed
    assert again.reservation == first.reservation
    assert (await acme.balance("acme"))[DAY] == (100, 0, 0, 900)
    assert await acme.differences() == []
    assert await core.sweeper.drain() == 0


async def test_a_key_is_its_tenants_own(acme):
    await acme.account("globex")
    await acme.set_budget("globex", 1_000)
    for account in ("acme", "globex"):
        held = await acme.reserve(account, {"USD": 1}, key="order 1")
        assert not held.replayed
        assert held.reservation.account == account


async def test_what_is_in_the_ledger_is_taken_out_of_the_outbox(acme, core):
    async def nothing():
        return 0

    core.sweeper.drain = nothing
    held = await acme.reserve("acme", {"USD": 100})
    await acme.commit(held.reservation.reservation_id, {"USD": 70})

    async def is_empty():
        return await Outbox(core.hot).not_empty(["acme"]) == []

    await eventually(is_empty)


async def test_a_new_key_is_known_after_the_hot_store_was_emptied(acme, core):
    key = new_key()
    first = await acme.reserve("acme", {"USD": 100}, key=key)
    await core.hot.redis.flushdb()
    again = await acme.reserve("acme", {"USD": 100}, key=key)
    assert again.replayed
    assert again.reservation == first.reservation
