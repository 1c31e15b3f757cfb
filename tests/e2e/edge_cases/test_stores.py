"""Stores that lose replies, go away, come back older, or write late."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import grpc
import pytest

from authorities import make_settings, new_key
from authority.ledger.migrate import migrate
from authority.v1 import budget_service_pb2 as budget
from proxy import Proxy
from refusals import refused
from support import copy_directory, eventually

DAY = ("acme", "usd-day")


async def make_acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)


async def hold(stubs, amount=100, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


@pytest.fixture
async def stores(make_postgres, make_valkey):
    """A Postgres and a Valkey of the test's own."""
    postgres, valkey = await make_postgres(), await make_valkey()
    await migrate(postgres.url)
    return postgres, valkey


@pytest.fixture
async def acme(stores, start_authority, tmp_path):
    """An authority on them, with an account to spend from."""
    postgres, valkey = stores
    _, stubs = await start_authority(make_settings(postgres.url, valkey.url, tmp_path))
    await make_acme(stubs)
    return stubs


async def test_a_reply_lost_after_the_script_ran_is_answered_to_the_same_key(
    ledger_url, redis_url, start_authority, tmp_path
):
    """Case 4: what took place before anybody was told is told to who asks again, and done once."""
    port = urlsplit(redis_url).port
    async with Proxy(port) as proxy:
        through = redis_url.replace(f":{port}/", f":{proxy.port}/")
        _, stubs = await start_authority(make_settings(ledger_url, through, tmp_path))
        await make_acme(stubs)
        name, paid = await hold(stubs), await hold(stubs)
        await stubs.commit(paid, {"USD": 100})
        verbs = [
            lambda key: stubs.reserve("acme", {"USD": 1}, key=key),
            lambda key: stubs.commit(name, {"USD": 1}, final=False, key=key),
            lambda key: stubs.refund(paid, {"USD": 1}, key=key),
        ]
        for verb in verbs:
            key = new_key()
            proxy.drop_replies(to=key.encode())
            assert (await refused(verb(key))).code == "UNAVAILABLE"
            proxy.pass_on()
            assert (await verb(key)).replayed
        assert (await stubs.balance("acme"))[DAY] == (100, 101, 1, 800)
        assert await stubs.differences() == []


async def test_commit_twice_around_an_outage_of_postgres(stores, acme):
    """Cases 8 and 23: what is not in the ledger is not answered, and nothing is charged twice."""
    before, during = await hold(acme), await hold(acme)
    keys = [new_key() for _ in range(3)]
    await acme.commit(before, {"USD": 70}, key=keys[0])
    await stores[0].stop()
    for call in (
        acme.reserve("acme", {"USD": 5}, key=keys[1]),
        acme.commit(during, {"USD": 80}, key=keys[2]),
        acme.commit(during, {"USD": 80}, key=keys[2]),
    ):
        assert (await refused(call)).code == "UNAVAILABLE"
    await stores[0].start()

    async def committed():
        return await answered(acme.commit(during, {"USD": 80}, key=keys[2]))

    paid = await eventually(committed, 30)
    assert paid.reservation.legs[0].charged == 80
    assert (await acme.commit(before, {"USD": 70}, key=keys[0])).replayed
    assert (await refused(acme.commit(during, {"USD": 1}))).reason == "ALREADY_COMMITTED"
    held = await acme.reserve("acme", {"USD": 5}, key=keys[1])
    assert (await acme.reserve("acme", {"USD": 5}, key=keys[1])).reservation == held.reservation
    assert (await acme.balance("acme"))[DAY] == (5, 150, 0, 845)
    assert await acme.differences() == []


async def told(call):
    """Return why a call is refused, or None while a store is away."""
    refusal = await refused(call)
    return None if refusal.code == "UNAVAILABLE" else refusal


async def answered(call):
    """Return the answer, or None while a store is away."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise


async def test_a_valkey_restored_from_an_older_copy_is_fenced_and_made_anew(stores, acme, tmp_path):
    """Case 22; a killed and an emptied one are in test_crashes.py."""
    valkey = stores[1]
    committed, released = await hold(acme), await hold(acme)
    await valkey.stop()
    await copy_directory(valkey.directory / "appendonlydir", tmp_path / "older")
    await valkey.start()
    commit_key, reserve_key = new_key(), new_key()
    paid = await eventually(
        lambda: answered(acme.commit(committed, {"USD": 70}, key=commit_key)), 30
    )
    await acme.release(released)
    later = await acme.reserve("acme", {"USD": 800}, key=reserve_key)
    await valkey.kill()
    shutil.rmtree(valkey.directory / "appendonlydir")
    await copy_directory(tmp_path / "older", valkey.directory / "appendonlydir")
    await valkey.start()
    # By the older copy this would fit.
    refusal = await eventually(lambda: told(acme.reserve("acme", {"USD": 131})), 30)
    assert refusal.metadata["denial_reason"] == "BUDGET_BUSY"
    again = await acme.commit(committed, {"USD": 70}, key=commit_key)
    assert again.replayed
    assert again.reservation == paid.reservation
    same = await acme.reserve("acme", {"USD": 800}, key=reserve_key)
    assert same.reservation == later.reservation
    assert (await acme.balance("acme"))[DAY] == (800, 70, 0, 130)
    assert await acme.differences() == []


async def test_a_commit_that_arrives_before_the_ledger_has_the_reserve(
    start_authority, monkeypatch
):
    """Case 26: through another process, while the first has not written the hold yet."""
    (slow, first), (_, second) = await start_authority(), await start_authority()
    await make_acme(first)
    await hold(second, 1)
    kept = []
    journal = slow.core.context.journal
    with monkeypatch.context() as patch:
        patch.setattr(journal, "append_later", lambda *item: kept.append(item))
        name = await hold(first, durability=budget.DURABILITY_HOT)
    assert await slow.core.ledger.reservation(name) is None
    paid = await second.commit(name, {"USD": 70})
    assert paid.reservation.legs[0].charged == 70
    assert (await second.refund(name, {"USD": 20})).reservation.legs[0].refunded == 20
    for item in kept:
        await journal.append(*item)
    assert (await slow.core.ledger.reservation(name)).state == "COMMITTED"
    assert (await first.balance("acme"))[DAY] == (1, 70, 20, 949)
    assert await first.differences() == []
