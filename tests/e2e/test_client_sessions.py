"""The Python client's stream: many operations share it, and what happens if it breaks."""

from __future__ import annotations

import asyncio
import signal

import pytest

from authorities import TOKEN
from authority.v1 import admin_service_pb2, budget_service_pb2
from clients import (
    AuthorityClient,
    BudgetDenied,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotSignedIn,
    ReservationState,
    RetryPolicy,
    Unavailable,
    Unit,
    stream,
    usd,
)
from clients.requests import new_key
from keys import make_key
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
    take = stream.Stream._next_frame

    def counted(self):
        frame = take(self)
        if frame:
            sizes.append(len(budget_service_pb2.ApplyRequest.FromString(frame).operations))
        return frame

    monkeypatch.setattr(stream.Stream, "_next_frame", counted)
    return sizes


async def all_of(*calls):
    """Await calls at the same time; return their results in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


async def test_what_is_queued_at_the_same_moment_shares_frames(client, acme, frames):
    first = await client.reserve("acme", [usd("0.0001")])
    more = await all_of(*(client.reserve("acme", [usd("0.0001")]) for _ in range(600)))
    assert frames == [1, 500, 100]
    held = [first, *more]
    assert len({item.reservation_id for item in held}) == 601
    paid = await all_of(*(client.commit(item.reservation_id, [usd("0.00005")]) for item in held))
    assert {item.reservation_id for item in paid} == {item.reservation_id for item in held}
    assert (await acme.balance("acme"))["acme", "usd-day"][:2] == (0, 601 * 50)


async def test_every_operation_answers_as_its_call_does(client):
    one, two = await all_of(
        client.reserve("acme", [usd("0.10")], labels={"job": "1"}),
        client.reserve("acme", [usd("0.20")]),
    )
    assert (one.labels, one.leg(Unit.USD).held) == ({"job": "1"}, 100_000)
    more = await client.extend(one.reservation_id, legs=[usd("0.05")])
    assert more.leg(Unit.USD).held == 150_000
    paid = await client.commit(one.reservation_id, [usd("0.12")], receipt="r-1")
    assert (paid.state, paid.receipt) == (ReservationState.COMMITTED, "r-1")
    back = await client.refund(one.reservation_id, [usd("0.02")])
    assert back.leg(Unit.USD).refunded == 20_000
    gone = await client.release(two.reservation_id)
    assert gone.state is ReservationState.RELEASED
    async with client.reservation("acme", [usd("0.30")]) as held:
        held.actual = [usd("0.01")]
    assert held.reservation.charged(Unit.USD) == 10_000


async def test_errors_are_those_of_calls_and_each_caller_s_own(client):
    held = await client.reserve("acme", [usd("0.10")], idempotency_key="one")

    async def error_of(call):
        with pytest.raises(Exception, match=r".") as raised:
            await call
        return raised.value

    denied, unknown, reused, wrong, fine = await all_of(
        error_of(client.reserve("acme", [usd(5)], idempotency_key="two")),
        error_of(client.commit("acme/0199a0b2-0000-7000-8000-000000000000", [usd(1)])),
        error_of(client.reserve("acme", [usd("0.11")], idempotency_key="one")),
        error_of(client.reserve("acme", [])),
        client.commit(held.reservation_id, [usd("0.10")]),
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
    large = {"k": "v" * 300_000}

    async def violations(labels):
        with pytest.raises(InvalidRequest) as refused:
            await client.reserve("acme", [usd("0.01")], labels=labels)
        return [field for field, _ in refused.value.violations]

    told = await all_of(violations({"k": "v" * 4_000_000}), *(violations(large) for _ in range(20)))
    # The authority itself has refused the large ones, since they have all reached it.
    assert told == [["request"], *[["labels['k']"]] * 20]
    assert len(frames) == 2
    await client.reserve("acme", [usd("0.01")])


async def test_a_token_that_is_wrong_is_told_to_each(address, acme):
    async with AuthorityClient(address, token="wrong") as stranger:
        for _ in range(2):
            with pytest.raises(NotSignedIn):
                await stranger.reserve("acme", [usd("0.01")])


async def test_closing_waits_for_what_is_under_way(client, held_up):
    call = asyncio.create_task(client.reserve("acme", [usd("0.01")]))
    await held_up.appended.wait()
    closing = [asyncio.create_task(client.close()) for _ in range(2)]
    await asyncio.sleep(0.05)  # it would end at once if it did not wait
    assert not any(each.done() for each in (*closing, call))
    with pytest.raises(RuntimeError, match="make another"):
        await client.reserve("acme", [usd("0.01")])
    held_up.go_on.set()
    assert (await call).state is ReservationState.HELD
    await asyncio.wait(closing)
    assert [each.result() for each in closing] == [None, None]


async def test_a_caller_that_leaves_leaves_the_others_be(client, acme, held_up):
    key = new_key()
    with pytest.raises(DeadlineExceeded) as late:
        await client.reserve("acme", [usd("0.01")], idempotency_key=key, timeout=0.2)
    assert (late.value.idempotency_key, late.value.outcome_unknown) == (key, True)
    impatient = asyncio.create_task(client.reserve("acme", [usd("0.02")]))
    patient = asyncio.create_task(client.reserve("acme", [usd("0.04")]))
    asyncio.get_running_loop().call_soon(impatient.cancel)
    held_up.go_on.set()
    assert (await patient).leg(Unit.USD).held == 40_000
    assert (await client.reserve("acme", [usd("0.01")], idempotency_key=key)).replayed
    # Whoever left before the frame was sent has asked for nothing.
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 50_000


async def test_two_clients_of_one_process_touch_each_other_in_nothing(address, client, held_up):
    async with AuthorityClient(address, token=TOKEN, timeout=20) as other:
        calls = [
            asyncio.create_task(each.reserve("acme", [usd("0.01")])) for each in (client, other)
        ]
        await held_up.appended.wait()
        held_up.go_on.set()
        await calls[1]
        await other.close()
        assert {(await call).leg(Unit.USD).held for call in calls} == {10_000}
    assert (await client.reserve("acme", [usd("0.01")])).leg(Unit.USD).held == 10_000


async def test_what_is_of_another_tenant_is_refused_to_its_caller_alone(address, acme, frames):
    await acme.account("globex")
    token = (await make_key(acme, "acme")).token
    async with AuthorityClient(address, token=token, timeout=20) as bound:
        good = [bound.reserve("acme", [usd("0.01")], idempotency_key=f"k{n}") for n in range(9)]

        async def bad():
            with pytest.raises(NotAllowed, match="not of that tenant"):
                await bound.reserve("globex", [usd("0.01")])

        held = await all_of(*good, bad())
        assert frames == [10]
        assert len({each.reservation_id for each in held[:9]}) == 9
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 90_000


async def test_a_key_that_is_revoked_opens_nothing_more(address, acme, core):
    made = await make_key(acme, "acme")
    async with AuthorityClient(address, token=made.token, timeout=20) as client:
        held = await client.reserve("acme", [usd("0.01")])
        request = admin_service_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
        await acme.admin.RevokeApiKey(request, metadata=acme.metadata)

        async def refused():
            try:
                await client.commit(held.reservation_id, [usd("0.01")], final=False)
            except NotSignedIn:
                return True

        await eventually(refused)
        for _ in range(2):
            with pytest.raises(NotSignedIn):
                await client.release(held.reservation_id)


@pytest.fixture
async def process(make_authority_process, ledger_url, redis_url):
    """An authority to be killed, with an account that may spend a dollar."""
    made = await make_authority_process(ledger_url, redis_url)
    stubs = await made.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return made


# An authority that is told to stop ends its streams with what it has done.
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_an_authority_that_ends_charges_nobody_twice_and_loses_no_call(process, end):
    acknowledged = 0

    async def spend():
        nonlocal acknowledged
        held = await client.reserve("acme", [usd("0.0002")])
        await client.commit(held.reservation_id, [usd("0.0001")])
        acknowledged += 1

    async def spend_on():
        for _ in range(40):
            await spend()

    async with (
        AuthorityClient(process.address, token=TOKEN, timeout=60, retry=PATIENT) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(20):
            group.create_task(spend_on())
        for enough in (100, 400):
            await eventually(lambda enough=enough: acknowledged >= enough, 30)
            await process.send(end)
            await process.start()
    assert acknowledged == 800
    stubs = process.stubs()
    # A Reserve that was decided and not answered was found again by its key: nothing is left held.
    assert (await stubs.balance("acme"))["acme", "usd-day"][:2] == (0, 800 * 100)
    assert await stubs.differences() == []


async def test_closing_waits_for_what_is_to_be_repeated(process):
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pause(seconds):
        paused.set()
        await go_on.wait()
        await asyncio.sleep(seconds)

    async with AuthorityClient(
        process.address, token=TOKEN, timeout=60, retry=PATIENT, sleep=pause
    ) as client:
        await process.send(signal.SIGKILL)
        call = asyncio.create_task(client.reserve("acme", [usd("0.01")]))
        await paused.wait()
        closing = asyncio.create_task(client.close())
        await process.start()
        assert not closing.done()
        go_on.set()
        assert (await call).state is ReservationState.HELD
        await closing


async def test_without_retries_a_break_is_unavailable_and_the_key_finds_the_outcome(process):
    once = RetryPolicy(attempts_max=1)
    async with AuthorityClient(process.address, token=TOKEN, timeout=60, retry=once) as client:
        await client.reserve("acme", [usd("0.01")])
        process.signal(signal.SIGSTOP)
        call = asyncio.create_task(client.reserve("acme", [usd("0.02")], idempotency_key="k"))
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
