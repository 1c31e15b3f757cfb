"""Accounts with an end, as sessions are: from then on they reserve and submit nothing, for ever."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import ACCOUNT_STATE_ACTIVE, ACCOUNT_STATE_CLOSED, Account
from calls import send
from generating import Generations
from refusals import invalid, refused

HOUR_MS = 3_600_000


def at(core, ahead_ms):
    moment = Timestamp()
    moment.FromMilliseconds(core.hot.clock.now_ms() + ahead_ms)
    return moment


async def set_end(stubs, account, moment=None):
    request = admin.UpdateAccountRequest(
        account=Account(account=account, end_time=moment),
        update_mask=FieldMask(paths=["end_time"]),
    )
    return (await send(stubs, request)).account


@pytest.fixture
async def session(stubs, core):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    await stubs.account("acme/s", end_time=at(core, HOUR_MS))
    yield stubs
    assert await stubs.differences() == []


async def state_of(stubs, account):
    return (await send(stubs, admin.GetAccountRequest(account=account))).account.state


async def test_it_reserves_until_its_end_and_settles_after_it(session, core, start_authority):
    _, other = await start_authority()
    held = [await session.reserve("acme/s", {"USD": 10}, ttl=2 * 3_600) for _ in range(3)]
    ids = [row.reservation.reservation_id for row in held]
    # One minute before, and at the very millisecond: the policy that was cached says the same.
    core.hot.clock.offset_ms += HOUR_MS - 60_000
    await session.reserve("acme/s", {"USD": 10})
    core.hot.clock.offset_ms += 60_000
    refusal = await refused(session.reserve("acme/s", {"USD": 1}, key="again"))
    assert refusal.metadata["denial_reason"] == "ACCOUNT_CLOSED"
    assert await state_of(session, "acme/s") == ACCOUNT_STATE_ACTIVE
    await core.sweeper.close_ended()
    assert await state_of(session, "acme/s") == ACCOUNT_STATE_CLOSED
    assert await state_of(session, "acme") == ACCOUNT_STATE_ACTIVE
    refusal = await refused(other.reserve("acme/s", {"USD": 1}))
    assert refusal.metadata["denial_reason"] == "ACCOUNT_CLOSED"
    await session.commit(ids[0], {"USD": 12})
    await session.refund(ids[0], {"USD": 2})
    await session.release(ids[1])
    await session.extend(ids[2], ttl=4 * 3_600)
    changes = (await send(session, admin.ListChangesRequest(account="acme/s"))).changes
    assert (changes[0].actor, changes[0].reason) == ("paymaster", "its end has come")
    await core.sweeper.close_ended()
    assert len((await send(session, admin.ListChangesRequest(account="acme/s"))).changes) == len(
        changes
    )


async def test_the_end_of_one_above_ends_it_too(session, core):
    await session.account("acme/below", parent="acme/s")
    await session.account("acme/late", parent="acme/s", end_time=at(core, 9 * HOUR_MS))
    core.hot.clock.offset_ms += HOUR_MS
    for account in ("acme/below", "acme/late"):
        refusal = await refused(session.reserve(account, {"USD": 1}))
        assert refusal.metadata["denial_reason"] == "ACCOUNT_CLOSED"
    await session.reserve("acme", {"USD": 1})


async def test_it_submits_nothing_after_its_end(session, core, stubs):
    generations = Generations(stubs)
    await generations.submit("acme/s", key="before")
    core.hot.clock.offset_ms += HOUR_MS
    refusal = await refused(generations.submit("acme/s"))
    assert (refusal.code, refusal.metadata["denial_reason"]) == (
        "RESOURCE_EXHAUSTED",
        "ACCOUNT_CLOSED",
    )
    # What was taken in before is answered as it was.
    assert (await generations.submit("acme/s", key="before")).replayed


async def test_a_frozen_account_submits_nothing(session, stubs):
    request = admin.UpdateAccountRequest(
        account=Account(account="acme", state="ACCOUNT_STATE_FROZEN"),
        update_mask=FieldMask(paths=["state"]),
    )
    await send(stubs, request)
    refusal = await refused(Generations(stubs).submit("acme/s"))
    assert refusal.metadata["denial_reason"] == "ACCOUNT_FROZEN"


async def test_an_end_is_moved_until_it_has_come(session, core):
    moved = await set_end(session, "acme/s", at(core, 2 * HOUR_MS))
    core.hot.clock.offset_ms += HOUR_MS
    await session.reserve("acme/s", {"USD": 1})
    assert not (await set_end(session, "acme/s")).HasField("end_time")
    core.hot.clock.offset_ms += HOUR_MS
    await session.reserve("acme/s", {"USD": 1})
    await set_end(session, "acme/s", moved.end_time)
    for moment in (None, at(core, HOUR_MS)):
        assert await invalid(set_end(session, "acme/s", moment)) == ["account.end_time"]
    refusal = await refused(session.reserve("acme/s", {"USD": 1}))
    assert refusal.metadata["denial_reason"] == "ACCOUNT_CLOSED"
    assert await invalid(set_end(session, "acme", Timestamp(seconds=-1))) == ["account.end_time"]
