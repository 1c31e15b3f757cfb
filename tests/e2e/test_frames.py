"""Frames that are large, bad in part, cut or too many: one operation is in nobody's way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authorities import Stubs, new_key
from authority import bootstrap
from authority.rpc import interceptors
from authority.rpc.intake import Intake
from authority.rpc.interceptors import MESSAGE_BYTES_MAX
from authority.v1 import budget_service_pb2 as budget
from proxy import Proxy
from refusals import detail_of
from sessions import Session, reserve
from support import eventually

# As much as one operation may say: 13 kB.
LARGE_LABELS = {f"{number}" + "k" * 60: "\N{SNOWMAN}" * 256 for number in range(16)}


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    yield stubs
    assert await stubs.differences() == []


async def test_what_is_wrong_with_a_few_of_a_frame_is_told_to_them_alone(acme):
    session = Session(acme)
    frame = [reserve(number) for number in range(256)]
    frame[17].reserve.options[0].legs[0].amount = -1
    frame[80].reserve.account = "nobody/here"
    frame[120].ClearField("request")
    frame[255].reserve.options[0].legs[0].amount = 2_000_000
    await session.send(*frame)
    told, _ = await session.results(256)
    codes = {number: result.error.code for number, result in told.items() if result.error.code}
    assert codes == {
        17: code_pb2.INVALID_ARGUMENT,
        80: code_pb2.NOT_FOUND,
        120: code_pb2.INVALID_ARGUMENT,
        255: code_pb2.RESOURCE_EXHAUSTED,
    }
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 252


async def test_a_connection_cut_in_mid_frame_loses_and_doubles_nothing(authority, acme):
    running, _ = authority
    keys = [new_key() for _ in range(400)]
    labels = {"padding": "x" * 250}
    async with Proxy(running.port) as proxy:
        for cut_after in (0.002, 0.01, 0.03):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
                await channel.channel_ready()
                session = Session(Stubs(channel))
                asyncio.get_running_loop().call_later(cut_after, proxy.cut)
                # What was answered before the cut, if anything, does not matter.
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):
                    await session.send(*_all(keys, labels))
                    await session.results(401)
    session = Session(acme)
    await session.send(*_all(keys, labels))
    told, _ = await session.results(400)
    assert all(result.HasField("reserve") for result in told.values())
    ids = {result.reserve.reservation.reservation_id for result in told.values()}
    assert len(ids) == 400
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 400


def _all(keys, labels):
    return [reserve(number, key=key, labels=labels) for number, key in enumerate(keys)]


@pytest.mark.parametrize(
    ("count", "code"),
    [
        # The authority says itself what is wrong with the first; gRPC reads no more of the second
        # than its length.
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (800, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_a_frame_that_is_too_large_is_refused_and_loses_and_doubles_nothing(
    acme, count, code, monkeypatch
):
    session, small = Session(acme), [reserve(number) for number in range(100)]
    told = []
    monkeypatch.setattr(interceptors.log, "warning", lambda *event, **of: told.append((event, of)))
    await session.send(*small)
    large = [reserve(100 + number, labels=LARGE_LABELS) for number in range(count)]
    size = budget.ApplyRequest(operations=large).ByteSize()
    assert size > MESSAGE_BYTES_MAX
    # The small frame may be answered or not; what is under way is not taken back.
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await session.send(*large)
        await session.call.done_writing()
    with suppress(grpc.aio.AioRpcError):
        while await session.call.read() is not grpc.aio.EOF:
            pass
    assert await session.call.code() is code
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        assert f"send at most {MESSAGE_BYTES_MAX}" in await session.call.details()
        method = "/authority.v1.BudgetService/Apply"
        assert told == [(("message_refused",), {"method": method, "bytes": size, "caller": "root"})]
    # The same connection goes on.
    assert (await acme.balance("acme"))["acme", "usd-day"][0] <= 100
    again = Session(acme)
    for start in range(0, 100 + count, 100):
        await again.send(*(small + large)[start : start + 100])
    told, _ = await again.results(100 + count)
    assert len({item.reserve.reservation.reservation_id for item in told.values()}) == 100 + count
    assert not any(item.reserve.replayed for number, item in told.items() if number >= 100)
    assert (await acme.balance("acme"))["acme", "usd-day"][0] == 100 + count


async def test_a_client_that_reads_nothing_is_not_read_on(acme, core):
    session, decided = Session(acme), 0
    append = core.context.journal.append

    async def counted(operation, entry):
        nonlocal decided
        await append(operation, entry)
        decided += 1

    core.context.journal.append = counted

    async def flood():
        for start in range(0, 20_000, 100):
            await session.send(
                *(reserve(start + number, labels=LARGE_LABELS) for number in range(100))
            )

    flooding = asyncio.ensure_future(flood())
    # A place is free again only when its result was sent: at the most, what the connection holds.
    await eventually(lambda: decided >= 1_000, 20)
    before = -1
    while decided != before:
        before = decided
        await acme.balance("acme")
        await asyncio.sleep(0.2)
    assert decided < 5_000
    assert not flooding.done()
    flooding.cancel()
    session.call.cancel()


async def test_too_much_is_refused_with_the_time_to_come_again(
    authority_settings, start_authority, monkeypatch
):
    monkeypatch.setattr(bootstrap, "Intake", lambda: Intake(at_once_max=4, waiting_max=6))
    running, stubs = await start_authority(authority_settings)
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    appended, go_on = 0, asyncio.Event()
    append = running.core.context.journal.append

    async def late(operation, entry):
        nonlocal appended
        appended += 1
        await go_on.wait()
        await append(operation, entry)

    monkeypatch.setattr(running.core.context.journal, "append", late)
    session, frame = Session(stubs), [reserve(number) for number in range(25)]
    await session.send(*frame)
    told, _ = await session.results(15)
    await eventually(lambda: appended == 4)
    for result in told.values():
        assert result.error.code == code_pb2.UNAVAILABLE
        assert detail_of(result.error, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
    # Whoever asks how it is doing is answered all the same.
    health = health_pb2_grpc.HealthStub(stubs.channel)
    await eventually(lambda: _is_serving(health))
    go_on.set()
    told, _ = await session.results(10)
    assert all(result.HasField("reserve") for result in told.values())
    refused = [frame[number] for number in range(25) if number not in told]
    for start in range(0, 15, 5):
        await session.send(*refused[start : start + 5])
        again, _ = await session.results(5)
        assert all(isinstance(item.reserve, budget.ReserveResponse) for item in again.values())
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] == 25


async def _is_serving(health):
    response = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    return response.status == health_pb2.HealthCheckResponse.SERVING
