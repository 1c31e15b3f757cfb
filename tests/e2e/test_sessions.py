"""Sessions: frames in, frames out, back-pressure, and every way in which one can end."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import code_pb2

from authorities import legs_of, make_settings, new_key
from authority.rpc import session_servicing
from authority.v1 import budget_service_pb2 as budget
from refusals import invalid, refused
from sessions import Session, reserve
from support import eventually


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    yield stubs
    assert await stubs.differences() == []


@pytest.fixture
async def session(acme):  # A call needs the running loop.
    return Session(acme)


async def test_every_kind_of_operation_is_answered_by_its_number(acme, session):
    await session.send(*(reserve(number, 100) for number in range(5)))
    held, _ = await session.results(5)
    ids = [held[number].reserve.reservation.reservation_id for number in range(5)]
    await session.send(
        budget.ApplyOperation(
            call_number=2**64 - 1,
            commit=budget.CommitRequest(
                idempotency_key=new_key(), reservation_id=ids[0], actual=legs_of({"USD": 60})
            ),
        ),
        budget.ApplyOperation(
            call_number=11,
            release=budget.ReleaseRequest(idempotency_key=new_key(), reservation_id=ids[1]),
        ),
        budget.ApplyOperation(
            call_number=12,
            refund=budget.RefundRequest(idempotency_key=new_key(), reservation_id=ids[2]),
        ),
        budget.ApplyOperation(
            call_number=13,
            extend=budget.ExtendRequest(
                idempotency_key=new_key(), reservation_id=ids[3], legs=legs_of({"USD": 5})
            ),
        ),
        budget.ApplyOperation(call_number=14),
        reserve(15, 10**9),
    )
    told, _ = await session.results(6)
    assert {number: result.WhichOneof("result") for number, result in told.items()} == {
        2**64 - 1: "commit",
        11: "release",
        12: "refund",
        13: "extend",
        14: "error",
        15: "error",
    }
    assert told[14].error.code == code_pb2.INVALID_ARGUMENT
    assert told[15].error.code == code_pb2.RESOURCE_EXHAUSTED
    await session.call.done_writing()
    assert await session.call.read() is grpc.aio.EOF
    assert await session.call.code() is grpc.StatusCode.OK
    assert (await acme.balance("acme"))["acme", "usd-day"][:2] == (205, 60)


async def test_results_that_are_ready_together_share_a_frame(session):
    await session.send(*(reserve(number) for number in range(200)))
    found, frames = await session.results(200)
    assert len(found) == 200
    assert frames < 50


async def test_all_is_answered_after_the_caller_has_closed_its_side(session):
    await session.send(*(reserve(number) for number in range(100)))
    await session.call.done_writing()
    found, _ = await session.results(100)
    assert set(found) == set(range(100))
    assert await session.call.read() is grpc.aio.EOF


@pytest.mark.parametrize("count", [0, session_servicing.FRAME_MAX + 1])
async def test_a_frame_of_a_wrong_size_ends_the_session_but_answers_what_was_begun(
    acme, session, count
):
    await session.send(reserve(1, 7))
    await session.send(*(reserve(number) for number in range(count)))
    found, _ = await session.results(1)
    assert found[1].WhichOneof("result") == "reserve"
    assert await invalid(session.call.read()) == ["operations"]
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 7


async def test_no_more_than_a_thousand_are_under_way(acme, core, session, monkeypatch):
    began, most, go_on = 0, 0, asyncio.Event()
    append = core.context.journal.append

    async def held_up(operation, entry):
        await go_on.wait()
        await append(operation, entry)

    begin = session_servicing._Session._apply

    async def counted(self, operation):
        nonlocal began, most
        began += 1
        most = max(most, began)
        try:
            await begin(self, operation)
        finally:
            began -= 1

    monkeypatch.setattr(core.context.journal, "append", held_up)
    monkeypatch.setattr(session_servicing._Session, "_apply", counted)

    async def send_all():
        for start in range(0, 3_000, 500):
            await session.send(*(reserve(start + number) for number in range(500)))
        await session.call.done_writing()

    sending = asyncio.ensure_future(send_all())
    await eventually(lambda: began >= session_servicing.UNDER_WAY_MAX)
    go_on.set()
    found, _ = await session.results(3_000)
    await sending
    assert len(found) == 3_000
    assert most == session_servicing.UNDER_WAY_MAX
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 3_000


async def test_frames_of_large_results_are_split(session):
    labels = {f"{number}" + "k" * 60: "\N{SNOWMAN}" * 256 for number in range(16)}
    for start in range(0, 500, 100):
        await session.send(*(reserve(start + number, labels=labels) for number in range(100)))
    await session.call.done_writing()
    found, frames = await session.results(500)
    assert len(found) == 500
    assert frames >= 2


def test_results_are_put_into_frames_below_the_limit():
    response = budget.ReserveResponse()
    response.reservation.labels["k"] = "v" * 1_000_000
    ready = session_servicing._Frames()
    for number in range(8):
        ready.add(number, "reserve", response)
    frames = ready.take()
    assert not ready.take()
    assert sum(len(frame.results) for frame in frames) == 8
    assert len(frames) < 8
    assert max(frame.ByteSize() for frame in frames) < 4 * 1024 * 1024


async def nothing():
    return 0


@pytest.mark.parametrize("alone", [False, True], ids=["session", "unary"])
async def test_what_was_decided_goes_on_when_the_caller_vanishes(
    acme, core, session, monkeypatch, alone
):
    appended, go_on = asyncio.Event(), asyncio.Event()
    append = core.context.journal.append

    async def late(operation, entry):
        appended.set()
        await go_on.wait()
        await append(operation, entry)

    monkeypatch.setattr(core.context.journal, "append", late)
    # Else another way to the ledger would do as well.
    core.sweeper.drain = nothing
    key = new_key()
    unary = asyncio.ensure_future(acme.reserve("acme", {"USD": 5}, key=key)) if alone else None
    if unary is None:
        await session.send(reserve(1, 5, key))
    await appended.wait()
    (unary or session.call).cancel()
    session.call.cancel()
    await eventually(lambda: "session" not in {task.get_name() for task in asyncio.all_tasks()})
    go_on.set()
    await eventually(lambda: core.ledger.find_operation("acme", key))
    again = await acme.reserve("acme", {"USD": 5}, key=key)
    assert again.replayed
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 5


async def test_a_stop_lets_a_session_finish_what_it_has(
    ledger_url, redis_url, tmp_path, start_authority, monkeypatch
):
    settings = make_settings(ledger_url, redis_url, tmp_path / "artifacts")
    running, stubs = await start_authority(settings.model_copy(update={"drain_seconds": 10}))
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    appended, go_on = asyncio.Event(), asyncio.Event()
    journal = running.core.context.journal
    append = journal.append

    async def late(operation, entry):
        appended.set()
        await go_on.wait()
        await append(operation, entry)

    monkeypatch.setattr(journal, "append", late)
    session, idle = Session(stubs), Session(stubs)
    await session.send(reserve(1, 5))
    await idle.send(budget.ApplyOperation(call_number=1))
    await idle.results(1)
    await appended.wait()
    running.draining.set()
    stopping = asyncio.ensure_future(running.server.stop(10))
    assert (await refused(idle.call.read())).reason == "UNAVAILABLE"
    assert not stopping.done()
    go_on.set()
    found, _ = await session.results(1)
    assert found[1].WhichOneof("result") == "reserve"
    assert (await refused(session.call.read())).reason == "UNAVAILABLE"
    await asyncio.wait_for(stopping, 5)
