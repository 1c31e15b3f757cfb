"""Sessions of the Python client: many operations over one stream, and what happens if it breaks."""

from __future__ import annotations

import asyncio
import signal

import pytest

from authorities import TOKEN
from clients import (
    AuthorityClient,
    BudgetDenied,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    ReservationState,
    RetryPolicy,
    Unavailable,
    Unit,
    session,
    usd,
)
from clients.requests import new_key
from support import eventually

# Ends only with the call's own deadline.
PATIENT = RetryPolicy(attempts_max=1_000, delay_max=0.2)


@pytest.fixture
def address(authority):
    """Where the authority listens."""
    return f"127.0.0.1:{authority[0].port}"


@pytest.fixture
async def acme(stubs):
    """An account that may spend a dollar, and books that balance at the end."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    yield stubs
    assert await stubs.differences() == []


@pytest.fixture
async def client(address, acme):
    async with AuthorityClient(address, token=TOKEN, timeout=20) as made:
        yield made


@pytest.fixture
def held_up(core, monkeypatch):
    """Let nothing into the ledger before `go_on`; `appended` says that something waits for it."""

    class HeldUp:
        appended, go_on = asyncio.Event(), asyncio.Event()

    append = core.context.journal.append

    async def late(operation, entry):
        HeldUp.appended.set()
        await HeldUp.go_on.wait()
        await append(operation, entry)

    monkeypatch.setattr(core.context.journal, "append", late)
    return HeldUp


@pytest.fixture
def frames(monkeypatch):
    """The number of operations in each frame that was sent."""
    sizes = []
    take = session._Stream._next_frame

    def counted(self):
        frame = take(self)
        if frame:
            sizes.append(len(frame))
        return frame

    monkeypatch.setattr(session._Stream, "_next_frame", counted)
    return sizes


async def all_of(*calls):
    """Await calls at the same time; return their results in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


async def test_what_is_queued_at_the_same_moment_shares_frames(client, acme, frames):
    async with client.session() as opened:
        first = await opened.reserve("acme", [usd("0.0001")])
        more = await all_of(*(opened.reserve("acme", [usd("0.0001")]) for _ in range(600)))
        assert frames == [1, 500, 100]
        held = [first, *more]
        assert len({item.reservation_id for item in held}) == 601
        paid = await all_of(
            *(opened.commit(item.reservation_id, [usd("0.00005")]) for item in held)
        )
    assert {item.reservation_id for item in paid} == {item.reservation_id for item in held}
    assert (await acme.balance("acme"))["acme", "usd-day"][:2] == (0, 601 * 50)


async def test_every_operation_answers_as_its_call_does(client):
    async with client.session() as opened:
        one, two = await all_of(
            opened.reserve("acme", [usd("0.10")], labels={"job": "1"}),
            opened.reserve("acme", [usd("0.20")]),
        )
        assert (one.labels, one.leg(Unit.USD).held) == ({"job": "1"}, 100_000)
        more = await opened.extend(one.reservation_id, legs=[usd("0.05")])
        assert more.leg(Unit.USD).held == 150_000
        paid = await opened.commit(one.reservation_id, [usd("0.12")], receipt="r-1")
        assert (paid.state, paid.receipt) == (ReservationState.COMMITTED, "r-1")
        back = await opened.refund(one.reservation_id, [usd("0.02")])
        assert back.leg(Unit.USD).refunded == 20_000
        gone = await opened.release(two.reservation_id)
        assert gone.state is ReservationState.RELEASED
        async with opened.reservation("acme", [usd("0.30")]) as held:
            held.actual = [usd("0.01")]
        assert held.reservation.charged(Unit.USD) == 10_000


async def test_errors_are_those_of_calls_and_each_caller_s_own(client):
    async with client.session() as opened:
        held = await opened.reserve("acme", [usd("0.10")], idempotency_key="one")

        async def error_of(call):
            with pytest.raises(Exception, match=r".") as raised:
                await call
            return raised.value

        denied, unknown, reused, wrong, fine = await all_of(
            error_of(opened.reserve("acme", [usd(5)], idempotency_key="two")),
            error_of(opened.commit("acme/0199a0b2-0000-7000-8000-000000000000", [usd(1)])),
            error_of(opened.reserve("acme", [usd("0.11")], idempotency_key="one")),
            error_of(opened.reserve("acme", [])),
            opened.commit(held.reservation_id, [usd("0.10")]),
        )
    assert type(denied) is BudgetDenied
    assert denied.denial.limiting_budgets[0].short_by == 4_100_000
    assert denied.idempotency_key == "two"
    assert type(unknown) is NotFound
    assert type(reused) is IdempotencyKeyReused
    assert reused.fields == ("options",)
    assert type(wrong) is InvalidRequest
    assert [field for field, _ in wrong.violations] == ["options[0].legs"]
    assert fine.charged(Unit.USD) == 100_000


async def test_what_fits_in_no_frame_is_refused_alone_and_frames_stay_below_the_limit(
    client, frames
):
    async with client.session() as opened:
        large = {"k": "v" * 300_000}

        async def violations(labels):
            with pytest.raises(InvalidRequest) as refused:
                await opened.reserve("acme", [usd("0.01")], labels=labels)
            return [field for field, _ in refused.value.violations]

        told = await all_of(
            violations({"k": "v" * 4_000_000}), *(violations(large) for _ in range(20))
        )
        # The authority itself has refused the large ones, since they have all reached it.
        assert told == [["request"], *[["labels['k']"]] * 20]
        assert len(frames) == 2
        await opened.reserve("acme", [usd("0.01")])


async def test_a_token_that_is_wrong_is_told_to_each(address, acme):
    async with AuthorityClient(address, token="wrong") as stranger, stranger.session() as opened:
        for _ in range(2):
            with pytest.raises(NotSignedIn):
                await opened.reserve("acme", [usd("0.01")])


async def test_the_end_of_the_block_waits_for_what_is_under_way(client, held_up):
    async def ended_before_its_call():
        async with client.session() as opened:
            call = asyncio.create_task(opened.reserve("acme", [usd("0.01")]))
            await held_up.appended.wait()
        assert call.done()
        with pytest.raises(RuntimeError, match="open another"):
            await opened.reserve("acme", [usd("0.01")])
        return await call

    block = asyncio.create_task(ended_before_its_call())
    await held_up.appended.wait()
    await asyncio.sleep(0.05)  # it would end at once if it did not wait
    assert not block.done()
    held_up.go_on.set()
    assert (await block).state is ReservationState.HELD


async def test_a_caller_that_leaves_leaves_the_others_be(client, acme, held_up):
    key = new_key()
    async with client.session() as opened:
        with pytest.raises(DeadlineExceeded) as late:
            await opened.reserve("acme", [usd("0.01")], idempotency_key=key, timeout=0.2)
        assert (late.value.idempotency_key, late.value.outcome_unknown) == (key, True)
        impatient = asyncio.create_task(opened.reserve("acme", [usd("0.02")]))
        patient = asyncio.create_task(opened.reserve("acme", [usd("0.04")]))
        asyncio.get_running_loop().call_soon(impatient.cancel)
        held_up.go_on.set()
        assert (await patient).leg(Unit.USD).held == 40_000
        assert (await opened.reserve("acme", [usd("0.01")], idempotency_key=key)).replayed
    # Whoever left before the frame was sent has asked for nothing.
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 50_000


@pytest.fixture
async def process(make_authority_process, ledger_url, redis_url):
    """An authority to be killed, with an account that may spend a dollar."""
    made = await make_authority_process(ledger_url, redis_url)
    stubs = await made.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return made


async def test_a_killed_authority_charges_nobody_twice_and_loses_no_call(process):
    acknowledged = 0

    async def spend(opened):
        nonlocal acknowledged
        held = await opened.reserve("acme", [usd("0.0002")])
        await opened.commit(held.reservation_id, [usd("0.0001")])
        acknowledged += 1

    async def spend_on(opened):
        for _ in range(40):
            await spend(opened)

    async with (
        AuthorityClient(process.address, token=TOKEN, timeout=60, retry=PATIENT) as client,
        client.session() as opened,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(20):
            group.create_task(spend_on(opened))
        for enough in (100, 400):
            await eventually(lambda enough=enough: acknowledged >= enough, 30)
            await process.send(signal.SIGKILL)
            await process.start()
    assert acknowledged == 800
    stubs = process.stubs()
    # A Reserve that was decided and not answered was found again by its key: nothing is left held.
    assert (await stubs.balance("acme"))["acme", "usd-day"][:2] == (0, 800 * 100)
    assert await stubs.differences() == []


async def test_the_end_of_the_block_waits_for_what_is_to_be_repeated(process):
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pause(seconds):
        paused.set()
        await go_on.wait()
        await asyncio.sleep(seconds)

    async with AuthorityClient(
        process.address, token=TOKEN, timeout=60, retry=PATIENT, sleep=pause
    ) as client:

        async def ended_before_its_call():
            async with client.session() as opened:
                call = asyncio.create_task(opened.reserve("acme", [usd("0.01")]))
                await paused.wait()
            assert call.done()
            return await call

        await process.send(signal.SIGKILL)
        block = asyncio.create_task(ended_before_its_call())
        await paused.wait()
        await process.start()
        assert not block.done()
        go_on.set()
        assert (await block).state is ReservationState.HELD


async def test_without_retries_a_break_is_unavailable_and_the_key_finds_the_outcome(process):
    once = RetryPolicy(attempts_max=1)
    async with AuthorityClient(process.address, token=TOKEN, timeout=60, retry=once) as client:
        async with client.session() as opened:
            await opened.reserve("acme", [usd("0.01")])
            process.signal(signal.SIGSTOP)
            call = asyncio.create_task(opened.reserve("acme", [usd("0.02")], idempotency_key="k"))
            await asyncio.sleep(0)
            await process.send(signal.SIGKILL)
            with pytest.raises(Unavailable) as broken:
                await call
            assert (broken.value.idempotency_key, broken.value.outcome_unknown) == ("k", True)
        await process.start()

        async def again():
            try:
                return await client.reserve("acme", [usd("0.02")], idempotency_key="k")
            except Unavailable:
                return None

        await eventually(again)
    stubs = process.stubs()
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] == 30_000
