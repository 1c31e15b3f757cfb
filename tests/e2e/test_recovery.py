"""What is put right by itself after a store or a process was lost, stopped or set back."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import asynccontextmanager

import grpc
import psycopg
import pytest
from redis.asyncio import Redis

from authority.hotstate.keys import TenantKeys
from authority.ledger.migrate import migrate
from authority.v1 import admin_service_pb2, resources_pb2
from calls import send
from refusals import Refusal, refused
from support import copy_directory, eventually

TOTAL = ("acme", "usd-total")
LIMIT = 1_000
HELD = {"USD": 100, "CREDITS": 5}
EXPIRED = resources_pb2.RESERVATION_STATE_EXPIRED
RECOVERY_SECONDS = 30


@pytest.fixture
async def stores(make_postgres, make_valkey):
    """A Postgres and a Valkey of the test's own."""
    postgres, valkey = await make_postgres(), await make_valkey()
    await migrate(postgres.url)
    return postgres, valkey


@pytest.fixture
async def processes(stores, make_authority_process):
    """Two authority processes on them."""
    return [await make_authority_process(*(store.url for store in stores)) for _ in range(2)]


@pytest.fixture
async def pair(processes):
    """The services of both, with an account to spend from."""
    first, second = [await process.start() for process in processes]
    await first.account("acme")
    await first.set_budget("acme", LIMIT, window="TOTAL")
    # Both have opened the tenant, and know its policy.
    for stubs in (first, second):
        await stubs.release(await hold(stubs))
    return first, second


async def hold(stubs, amount=100, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


@asynccontextmanager
async def ledger_held(stores):
    """Let no operation into the ledger: what is decided stays in the outbox."""
    async with await psycopg.AsyncConnection.connect(stores[0].url) as connection:
        await connection.execute("SELECT epoch FROM hot_store FOR UPDATE")
        yield


async def outbox_length(stores):
    """Return how many operations wait in it: each is a field of an entry."""
    async with Redis.from_url(stores[1].url) as redis:
        entries = await redis.xrange(TenantKeys("acme", 0).outbox)
        return sum(len(fields) for _, fields in entries)


async def outbox_holds(stores, length):
    return await outbox_length(stores) == length


async def count(stores, kind):
    """Return how many operations of a kind the ledger has."""
    async with await psycopg.AsyncConnection.connect(stores[0].url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM operation WHERE kind = %s", [kind])
        return (await cursor.fetchone())[0]


async def until_answered(call):
    """Call until a store that is away is back; return the answer, or the refusal."""

    async def answered():
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.of(error)
            assert refusal.code != "UNAVAILABLE", refusal.message
            return refusal

    return await eventually(answered, RECOVERY_SECONDS)


async def numbers(stubs, grant):
    """Return all that is counted, once the books balance."""
    balance = await until_answered(lambda: stubs.balance("acme"))
    read = await stubs.get_grant(grant)
    assert await stubs.differences() == []
    return balance, (read.reserved, read.committed, read.refunded, read.available)


async def test_every_answer_outlives_a_valkey_that_is_set_back(stores, pair, tmp_path):
    """It comes back as it was before the answers that follow were given: each is given again."""
    first, second = pair
    valkey = stores[1]
    grant = (await first.grant("acme", "CREDITS", 50)).grant_id
    part, released, paid, late = [
        (await first.reserve("acme", HELD)).reservation.reservation_id for _ in range(4)
    ]
    await first.commit(paid, HELD)
    async with asyncio.TaskGroup() as group, ledger_held(stores):
        # The copy has an operation in its outbox that the ledger has by the time it comes back.
        group.create_task(first.commit(late, {"USD": 60, "CREDITS": 5}, key="late"))
        await eventually(lambda: outbox_length(stores))
        await copy_directory(valkey.directory / "appendonlydir", tmp_path / "older")
    verbs = {
        "late": lambda stubs, key: stubs.commit(late, {"USD": 60, "CREDITS": 5}, key=key),
        "part": lambda stubs, key: stubs.commit(part, {"USD": 30}, final=False, key=key),
        "extend": lambda stubs, key: stubs.extend(part, {"USD": 7, "CREDITS": 2}, key=key),
        "release": lambda stubs, key: stubs.release(released, key=key),
        "refund": lambda stubs, key: stubs.refund(paid, {"USD": 40, "CREDITS": 1}, key=key),
        "adjust": lambda stubs, key: stubs.adjust("acme", {"USD": 12}, key=key),
        "reserve": lambda stubs, key: stubs.reserve("acme", {"USD": 500}, key=key),
    }
    answers = {name: await verb(first, name) for name, verb in verbs.items()}
    denial = await refused(second.reserve("acme", {"USD": 600}, key="denied"))
    before = await numbers(first, grant)
    epoch = (await send(first, admin_service_pb2.GetStatusRequest())).epoch

    await valkey.kill()
    shutil.rmtree(valkey.directory / "appendonlydir")
    await copy_directory(tmp_path / "older", valkey.directory / "appendonlydir")
    await valkey.start()
    for name, verb in reversed(verbs.items()):
        again = await until_answered(lambda verb=verb, name=name: verb(second, name))
        assert again.replayed
        again.replayed = answers[name].replayed
        assert again == answers[name]
    # Denied for what was committed then is denied now, even were there room.
    await second.release(answers["reserve"].reservation.reservation_id, key="room")
    again = await until_answered(lambda: second.reserve("acme", {"USD": 600}, key="denied"))
    assert (again.reason, again.metadata) == (denial.reason, denial.metadata | {"replayed": "true"})
    reserved, committed, refunded, available = before[0][TOTAL]
    expected = {TOTAL: (reserved - 500, committed, refunded, available + 500)}, before[1]
    for stubs in pair:
        assert await numbers(stubs, grant) == expected
    assert (await send(second, admin_service_pb2.GetStatusRequest())).epoch == epoch + 1


async def test_what_a_killed_process_has_decided_another_writes_down(stores, processes, pair):
    """Nobody asks for it again."""
    first, second = pair
    paid, released, open_hold = [await hold(first) for _ in range(3)]
    await eventually(lambda: outbox_holds(stores, 0))  # What is written down is taken off later.
    calls = [
        lambda stubs: stubs.reserve("acme", {"USD": 200}, key="reserve"),
        lambda stubs: stubs.commit(paid, {"USD": 70}, key="commit"),
        lambda stubs: stubs.release(released, key="release"),
    ]
    async with ledger_held(stores):
        unanswered = [asyncio.ensure_future(call(first)) for call in calls]
        await eventually(lambda: outbox_holds(stores, len(calls)))
        await processes[0].send(signal.SIGKILL)
        for call in unanswered:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
    await eventually(lambda: outbox_holds(stores, 0), RECOVERY_SECONDS)
    assert (await second.balance("acme"))[TOTAL] == (300, 70, 0, 630)
    assert await second.differences() == []
    for repeat in calls:
        assert (await repeat(second)).replayed
    await second.commit(open_hold, {"USD": 100})
    assert (await second.balance("acme"))[TOTAL] == (200, 170, 0, 630)
    assert await second.differences() == []


class TestExpiry:
    """In real time: test_expiry.py has the instant itself, test_reclaim.py what is in the way."""

    async def all_expired(self, stubs, names):
        return all([(await stubs.get(name)).state == EXPIRED for name in names])

    async def test_the_deadline_outlives_the_hot_store(self, stores, pair):
        """Swept in the next life of the hot store, though nothing there had heard of the hold."""
        first, second = pair
        names = [await hold(first, ttl=1) for _ in range(3)]
        async with Redis.from_url(stores[1].url) as redis:
            await redis.flushall()
        await eventually(lambda: self.all_expired(second, names), RECOVERY_SECONDS)
        assert (await second.balance("acme"))[TOTAL] == (0, 0, 0, LIMIT)
        assert await count(stores, "EXPIRE") == 3
        assert await second.differences() == []

    async def test_another_sweeps_when_one_is_stopped(self, stores, processes, pair):
        """And both being stopped, whoever comes back first does; the other finds it done."""
        first, second = pair
        processes[0].signal(signal.SIGSTOP)
        names = [await hold(second, ttl=1) for _ in range(3)]
        await eventually(lambda: self.all_expired(second, names))
        names = [await hold(second, ttl=1) for _ in range(3)]
        processes[1].signal(signal.SIGSTOP)
        await eventually(lambda: all_due(stores))
        processes[0].signal(signal.SIGCONT)
        await eventually(lambda: self.all_expired(first, names))
        processes[1].signal(signal.SIGCONT)
        await second.release(await hold(second, LIMIT))
        assert await count(stores, "EXPIRE") == 6
        assert await second.differences() == []

    async def test_one_is_stopped_while_it_writes_what_it_swept(self, stores, processes, pair):
        """Its transaction is open, until Postgres ends it: the other goes on without it."""
        first, second = pair
        processes[1].signal(signal.SIGSTOP)
        names = [await hold(first, ttl=1) for _ in range(3)]
        async with ledger_held(stores):
            await eventually(lambda: writes_waiting(stores))
            processes[0].signal(signal.SIGSTOP)
        processes[1].signal(signal.SIGCONT)
        reserve = asyncio.create_task(
            until_answered(lambda: second.reserve("acme", {"USD": LIMIT}, key="all"))
        )
        assert (await reserve).reservation.legs[0].held == LIMIT
        processes[0].signal(signal.SIGCONT)
        await eventually(lambda: self.all_expired(second, names))
        assert (await first.balance("acme"))[TOTAL] == (LIMIT, 0, 0, 0)
        assert await count(stores, "EXPIRE") == 3
        await eventually(lambda: outbox_holds(stores, 0))
        assert await first.differences() == []


async def writes_waiting(stores):
    """Return how many transactions wait for `ledger_held`."""
    async with await psycopg.AsyncConnection.connect(stores[0].url) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        return (await cursor.fetchone())[0]


async def all_due(stores):
    """Say whether no open reservation has any time left."""
    async with await psycopg.AsyncConnection.connect(stores[0].url) as connection:
        cursor = await connection.execute(
            "SELECT bool_and(expire_ms < extract(epoch FROM now()) * 1000)"
            " FROM reservation WHERE state = 'HELD'"
        )
        return (await cursor.fetchone())[0]
