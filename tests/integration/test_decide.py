"""Many items in one script call: each is decided for itself, after those before it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from authorities import new_key
from authority.domain.budgets import (
    Budget,
    BudgetWindow,
    Enforcement,
    OveragePolicy,
)
from authority.domain.errors import Unavailable
from authority.domain.money import Leg, Option, Unit
from authority.domain.policies import Money, Terms
from authority.domain.ports import (
    CommitCommand,
    HeldOn,
    Keyed,
    ReserveCommand,
    Verdict,
    WindowCounts,
)
from authority.domain.reservations import ReserveMode
from authority.domain.windows import Window, window_at
from authority.hotstate import store
from authority.hotstate.clock import HotClock
from authority.hotstate.scripts import Script
from authority.hotstate.store import HotStore, ScriptFault
from authority.recovery.outbox import Outbox
from monitoring import monitoring
from proxy import Proxy

LIMIT = 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET = Budget(1, "acme", "usd-total", Unit.USD, Window.TOTAL, LIMIT, Enforcement.BLOCK, NOW, NOW)
WINDOW = BudgetWindow(BUDGET, window_at(Window.TOTAL, "UTC", 0))
NO_MONEY = Money((), frozenset())
TERMS = Terms(
    account="acme",
    policy_version=1,
    refusal=None,
    windows=(WINDOW,),
    money=NO_MONEY,
    debtors=frozenset(),
    rates={},
    per_request_limits={},
    metered=frozenset({Unit.USD}),
)


async def make_hot(url):
    """Return a hot store with an open tenant and its one window."""
    hot = HotStore(store.connect(url), HotClock())
    async with hot.redis.client() as connection:
        await hot.load_scripts(connection, 1)
    keys = hot.keys("acme")
    assert await hot.call(Script.FENCE, [keys.meta], [0]) == ["DONE"]
    assert await hot.call(Script.OPEN, [keys.meta, keys.expiries], [0, 1, 0, 0, 0]) == ["DONE"]
    await hot.load("acme", None, {WINDOW.ref: WindowCounts(0, 0, 0)}, 1)
    return hot


@pytest.fixture
async def hot(redis_url):
    made = await make_hot(redis_url)
    yield made
    await made.redis.aclose()


def keyed(request="{}", key=None):
    """Return what an operation hands to its script; its request has the key in it."""
    key = key or new_key()
    text = f'{{"kind":"RESERVE","account":"acme","key":"{key}","more":{request}}}'
    return Keyed("acme", key, text, new_key(), checked=False)


def reserving(amount, reservation_id="", mode=ReserveMode.NORMAL, *, may_reclaim=True):
    """Return a command."""
    return ReserveCommand(
        terms=TERMS,
        reservation_id=reservation_id or f"acme/{new_key()}",
        options=[Option("", (Leg(Unit.USD, amount),))],
        refusals=[None],
        ttl_ms=60_000,
        labels={},
        mode=mode,
        may_reclaim=may_reclaim,
    )


def committing(reservation_id, amount, *, final=True):
    """Return a command."""
    return CommitCommand(
        held=HeldOn(reservation_id, [WINDOW.ref], []),
        limits=[LIMIT],
        thresholds=[None],
        money=NO_MONEY,
        overage=OveragePolicy.AVAILABLE,
        policy_version=1,
        actual=[Leg(Unit.USD, amount)],
        final=final,
        force=False,
        receipt="",
    )


async def together(*calls):
    """Run calls that are made at the same moment; return what each ended with."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.wait(tasks)
    return [task.exception() or task.result() for task in tasks]


async def held(hot, count, amount=1):
    """Reserve, and return the ids."""
    names = [f"acme/{new_key()}" for _ in range(count)]
    decisions = await together(*(hot.reserve(keyed(), reserving(amount, name)) for name in names))
    assert {decision.verdict for decision in decisions} == {Verdict.DONE}
    return names


async def counts(hot):
    """Return what the window counts, and where the tenant's sequence stands."""
    reading = await hot.read("acme", None, [WINDOW.ref])
    # All that was ever decided is in the outbox: no journal runs here.
    waiting = await Outbox(hot).waiting("acme")
    assert [item.sequence for item in waiting] == list(range(1, reading.sequence + 1))
    return tuple(reading.counts[0]), reading.sequence


async def spoil(hot, reservation_id, expires="soon"):
    """Let a script fail with a reservation when it has changed the counts already."""
    key = hot.keys("acme").reservation(reservation_id)
    lines = (await hot.redis.get(key)).split("\n")
    lines[6] = expires
    await hot.redis.set(key, "\n".join(lines))


async def test_a_frame_of_256_with_one_bad_item(hot, redis_url):
    names = await held(hot, 256)
    await spoil(hot, names[77])
    async with monitoring(redis_url) as monitor:
        ended = await together(
            *(hot.commit_reservation(keyed(), committing(name, 1)) for name in names)
        )
        runs = await monitor.runs()
    assert len(runs) == 4  # of 128, 64, 32 and 32
    bad = ended.pop(77)
    assert isinstance(bad, ScriptFault)
    assert "compare" in str(bad)
    assert {decision.verdict for decision in ended} == {Verdict.DONE}
    # In order, without a gap, and the bad one has left no trace.
    sequences = [decision.operation.sequence for decision in ended]
    assert sequences == list(range(257, 512))
    assert await counts(hot) == ((1, 255, 0), 511)


async def test_what_faults_in_the_middle_leaves_nothing_behind(hot):
    (name,) = await held(hot, 1, 100)
    await spoil(hot, name)
    before = {key: await hot.redis.dump(key) for key in await hot.redis.keys()}
    for _ in range(2):
        with pytest.raises(ScriptFault):
            await hot.commit_reservation(keyed(), committing(name, 40))
    assert {key: await hot.redis.dump(key) for key in await hot.redis.keys()} == before
    # What comes behind it in the same call counts on what was there before it.
    ended = await together(
        hot.commit_reservation(keyed(), committing(name, 40)),
        hot.reserve(keyed(), reserving(LIMIT - 100)),
        hot.reserve(keyed(), reserving(1)),
    )
    assert isinstance(ended[0], ScriptFault)
    assert ended[1].operation.denied is None
    assert ended[2].operation.denied is not None
    assert await counts(hot) == ((LIMIT, 0, 0), 3)


async def test_what_the_store_would_not_keep_is_written_nowhere(hot):
    (name,) = await held(hot, 1, 100)
    await spoil(hot, name, expires="9" * 30)  # no store keeps anything for so long
    before = {key: await hot.redis.dump(key) for key in await hot.redis.keys()}
    with pytest.raises(ScriptFault, match="can not be kept"):
        await hot.commit_reservation(keyed(), committing(name, 40, final=False))
    assert {key: await hot.redis.dump(key) for key in await hot.redis.keys()} == before


async def test_what_a_call_decides_is_one_entry_that_goes_with_its_last_operation(hot):
    name, key, outbox = f"acme/{new_key()}", new_key(), Outbox(hot)
    calls = [
        lambda: hot.reserve(keyed(key=key), reserving(10, name)),
        lambda: hot.commit_reservation(keyed(), committing(name, 5)),
        lambda: hot.commit_reservation(keyed(), committing(name, 5)),  # it is settled
        lambda: hot.reserve(keyed(key=key), reserving(10, name)),
    ]
    first, last, settled, again = await together(*(call() for call in calls))
    (entry,) = await outbox.read("acme")
    assert entry.operations == [first.operation, last.operation]
    assert [item.entry for item in (first, last, settled, again)] == ["", entry.entry, "", ""]
    assert [item.waits for item in (first, last, settled, again)] == [True, True, False, True]
    assert (await calls[0]()).waits
    await outbox.trim([("acme", last.entry)])
    assert await outbox.read("acme") == []
    again = await calls[0]()
    assert (again.verdict, again.waits) == (Verdict.REPLAYED, False)


async def test_an_outbox_is_read_to_its_end(hot):
    for _ in range(70):
        await held(hot, 1)
    await held(hot, 30)
    outbox = Outbox(hot)
    assert [len(entry.operations) for entry in await outbox.read("acme")] == [1] * 70 + [30]
    assert len(await outbox.waiting("acme", 40)) == 40
    assert len(await outbox.waiting("acme", 71)) == 100


async def test_what_a_former_version_left_in_the_outbox_is_read(hot):
    await held(hot, 2)
    waiting = await Outbox(hot).waiting("acme")
    key = hot.keys("acme").outbox
    await hot.redis.delete(key)
    for operation in waiting:
        await hot.redis.xadd(key, {"request": operation.request, "result": operation.result})
    assert await Outbox(hot).waiting("acme") == waiting


async def test_an_outbox_that_can_not_be_written_leaves_nothing_behind(hot):
    names = await held(hot, 2, 10)
    outbox = hot.keys("acme").outbox
    await hot.redis.rename(outbox, "kept")
    await hot.redis.set(outbox, "no stream")
    for ended in await together(
        *(hot.commit_reservation(keyed(), committing(name, 5)) for name in names)
    ):
        assert isinstance(ended, ScriptFault)
        assert "WRONGTYPE" in str(ended)
    await hot.redis.rename("kept", outbox)
    assert await counts(hot) == ((20, 0, 0), 2)


async def test_an_item_sees_those_before_it(hot):
    name = f"acme/{new_key()}"
    ended = await together(
        hot.reserve(keyed(), reserving(600, name)),
        hot.reserve(keyed(), reserving(600, may_reclaim=False)),
        hot.reserve(keyed(), reserving(400, mode=ReserveMode.CHECK_ONLY)),
        hot.commit_reservation(keyed(), committing(name, 100, final=False)),
        hot.commit_reservation(keyed(), committing(name, 150)),
        hot.commit_reservation(keyed(), committing(name, 1)),
        hot.reserve(keyed(), reserving(600)),
    )
    first, denied, check, part, rest, again, last = ended
    expire_ms = first.operation.reservation.expire_ms
    assert denied.operation.denied.next_expiry_ms == expire_ms
    assert denied.operation.denied.limiting[0].reserved == 600
    assert check.verdict is Verdict.CHECKED
    assert part.operation.reservation.legs[0].held == 500
    assert rest.operation.reservation.legs[0].charged == 250
    assert (again.verdict, again.detail[0]) == (Verdict.STATE, "COMMITTED")
    assert last.operation.denied is None
    assert await counts(hot) == ((600, 250, 0), 5)
    (open_one,) = await hot.redis.zrange(hot.keys("acme").expiries, 0, -1)
    assert open_one == last.operation.reservation.reservation_id


async def test_a_key_that_comes_twice_in_one_call(hot):
    key = new_key()
    command = reserving(10)
    ended = await together(
        hot.reserve(keyed(key=key), command),
        hot.reserve(keyed(key=key), command),
        hot.reserve(keyed("1", key=key), command),
    )
    assert [one.verdict for one in ended] == [Verdict.DONE, Verdict.REPLAYED, Verdict.REUSED]
    assert ended[0].operation == ended[1].operation
    assert await counts(hot) == ((10, 0, 0), 1)


async def test_a_key_whose_first_item_faulted_is_free(hot):
    (name,) = await held(hot, 1, 10)
    key = hot.keys("acme").reservation(name)
    sound = await hot.redis.get(key)
    await spoil(hot, name)
    asked = keyed()
    with pytest.raises(ScriptFault):
        await hot.commit_reservation(asked, committing(name, 10))
    await hot.redis.set(key, sound)
    assert (await hot.commit_reservation(asked, committing(name, 10))).verdict is Verdict.DONE
    assert await counts(hot) == ((0, 10, 0), 2)


async def test_a_lost_reply_is_unavailable_for_all_and_ran_once(redis_url, valkey):
    hot = await make_hot(redis_url)
    asked = [(keyed(), reserving(10)) for _ in range(20)]
    async with Proxy(valkey.port) as proxy:
        head, _, _ = redis_url.rpartition(":")
        number = redis_url.rpartition("/")[2]
        lossy = HotStore(store.connect(f"{head}:{proxy.port}/{number}"), HotClock())
        async with lossy.redis.client() as connection:
            await lossy.load_scripts(connection, 1)
        proxy.drop_replies(1, to=b"EVALSHA")
        for ended in await together(*(lossy.reserve(*one) for one in asked)):
            assert isinstance(ended, Unavailable)
        assert proxy.dropped == 1
        assert await counts(hot) == ((200, 0, 0), 20)
        proxy.pass_on()
        ended = await together(*(lossy.reserve(*one) for one in asked))
        await lossy.redis.aclose()
    assert {one.verdict for one in ended} == {Verdict.REPLAYED}
    assert await counts(hot) == ((200, 0, 0), 20)
    await hot.redis.aclose()


async def test_scripts_that_are_gone_are_not_loaded_for_all(hot):
    await hot.redis.script_flush()
    ended = await together(*(hot.reserve(keyed(), reserving(1)) for _ in range(5)))
    assert [one.verdict for one in ended] == [Verdict.NOT_LOADED] * 5
    assert hot.epoch is None


async def test_who_is_cancelled_in_a_frame_touches_no_other(hot):
    tasks = [asyncio.create_task(hot.reserve(keyed(), reserving(1))) for _ in range(256)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert tasks[3].cancelled()
    others = [task.result() for task in tasks if task is not tasks[3]]
    assert {one.verdict for one in others} == {Verdict.DONE}
    assert await counts(hot) == ((255, 0, 0), 255)


async def test_a_store_that_refuses_to_write_changes_nothing(make_valkey):
    valkey = await make_valkey()
    hot = await make_hot(valkey.url)
    names = await held(hot, 3, 10)
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", 1)
        check, *ended = await together(
            hot.reserve(keyed(), reserving(1, mode=ReserveMode.CHECK_ONLY)),
            *(hot.commit_reservation(keyed(), committing(name, 5)) for name in names),
            hot.commit_reservation(keyed(), committing(names[0], 5)),
        )
        # What writes nothing is answered; but not that a reservation was settled, as it was not.
        assert check.verdict is Verdict.CHECKED
        assert {type(one) for one in ended} == {Unavailable}
        await redis.config_set("maxmemory", 0)
        assert await counts(hot) == ((30, 0, 0), 3)
        await redis.replicaof("127.0.0.1", 1)
        # A client that watches several servers is told by the reply itself.
        with pytest.raises(Unavailable, match="read only"):
            await hot.commit_reservation(keyed(), committing(names[0], 5))
        await redis.replicaof("NO", "ONE")
        assert await counts(hot) == ((30, 0, 0), 3)
    await hot.redis.aclose()
