"""The stream of an async client: every way in which it ends, deadlines, loops, and neglect."""

from __future__ import annotations

import asyncio
import gc
import threading

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from authority.v1 import budget_service_pb2, resources_pb2
from authority_script import End, Pause, scripted_authority, status
from clients import (
    AdminClient,
    AuthorityClient,
    BudgetDenied,
    DeadlineExceeded,
    NotAllowed,
    NotSignedIn,
    RetryPolicy,
    Unavailable,
    usd,
)
from support import eventually


@pytest.fixture
async def scripted():
    """An authority that answers from a script."""
    async with scripted_authority() as authority:
        yield authority


@pytest.fixture
def delays():
    """What the client has waited between attempts, in seconds."""
    return []


@pytest.fixture
async def client(scripted, delays):
    """A client whose delays take no time."""

    async def at_once(seconds):
        delays.append(seconds)

    retry = RetryPolicy(random=lambda: 1.0)
    async with AuthorityClient(scripted.address, sleep=at_once, retry=retry, timeout=10) as made:
        yield made


def held(number):
    """Return the answer to a Reserve."""
    reservation = resources_pb2.Reservation(reservation_id=f"acme/{number}")
    return budget_service_pb2.ReserveResponse(reservation=reservation)


def reserve(client, key, **options):
    """Start a Reserve."""
    call = client.reserve("acme", [usd(1)], idempotency_key=key, **options)
    return asyncio.create_task(call, name=key)


def keys(scripted):
    """Return the keys of what was asked, in order."""
    return [request.idempotency_key for request in scripted.requests("Reserve")]


async def outcomes(*calls):
    """Return what calls came to: the ids of reservations, or errors."""
    _, waiting = await asyncio.wait(calls, timeout=15)
    assert not waiting
    return [call.exception() or call.result().reservation_id for call in calls]


@pytest.mark.parametrize(
    "end",
    [
        End(),
        End(status("UNAVAILABLE", "UNAVAILABLE")),
        End(status("INTERNAL", "INTERNAL")),
        End(status("CANCELLED", "OTHER")),
        End(status("DEADLINE_EXCEEDED", "DEADLINE")),
    ],
)
async def test_what_has_no_answer_when_a_stream_ends_is_repeated_over_another(
    scripted, client, delays, end
):
    line = Pause()
    scripted.script = [held(1), line, Pause(), end, held(2), held(3)]
    calls = [reserve(client, key) for key in "abc"]
    await line.reached.wait()
    assert await outcomes(calls[0]) == ["acme/1"]
    line.go.set()
    assert sorted(await outcomes(*calls[1:])) == ["acme/2", "acme/3"]
    assert (keys(scripted)[:3], sorted(keys(scripted)[3:])) == (["a", "b", "c"], ["b", "c"])
    assert (scripted.sessions_opened, delays) == (2, [0.1, 0.1])


async def test_a_caller_that_left_before_the_stream_ended_is_in_nobody_s_way(scripted, client):
    line = Pause()
    scripted.script = [Pause(), line, End(), held(2)]
    leaver, other = reserve(client, "a"), reserve(client, "b")
    await line.reached.wait()
    leaver.cancel()
    line.go.set()
    assert await outcomes(other) == ["acme/2"]
    assert keys(scripted) == ["a", "b", "b"]


@pytest.mark.parametrize(
    "end",
    [
        End(status("PERMISSION_DENIED", "NOT_ALLOWED")),
        End(status("INVALID_ARGUMENT", "INVALID_FIELD")),
        End(status("UNIMPLEMENTED", "OTHER")),
    ],
)
async def test_what_a_refused_stream_carried_goes_by_calls_with_their_own_answers(
    scripted, client, delays, end
):
    refusal = status("PERMISSION_DENIED", "NOT_ALLOWED")
    scripted.script = [Pause(), Pause(), end, held(1), refusal, held(3)]
    calls = [reserve(client, key) for key in "abc"]
    found = dict(zip("abc", await outcomes(*calls), strict=True))
    first, second, third = keys(scripted)[3:]
    assert (found[first], found[third]) == ("acme/1", "acme/3")
    assert isinstance(found[second], NotAllowed)
    assert found[second].idempotency_key == second
    # They had what was left of their own deadlines.
    assert all(call.seconds is not None for call in scripted.calls[3:])
    assert await outcomes(reserve(client, "d")) == [""]
    assert (scripted.sessions_opened, delays) == (2, [])


async def test_what_is_not_signed_in_is_told_to_each(scripted, client, delays):
    scripted.script = [Pause(), Pause(), End(status("UNAUTHENTICATED", "NOT_SIGNED_IN"))]
    found = await outcomes(*(reserve(client, key) for key in "abc"))
    assert [(type(error), error.idempotency_key) for error in found] == [
        (NotSignedIn, key) for key in "abc"
    ]
    assert (len(scripted.calls), delays) == (3, [])


async def test_an_overloaded_authority_is_asked_again_when_it_says(scripted, client, delays):
    info = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=500_000_000))
    overload = status("UNAVAILABLE", "UNAVAILABLE", info)
    denied = status("RESOURCE_EXHAUSTED", "DENIED")
    scripted.script = [overload, held(2), denied, held(4), End(overload), held(5)]
    found = await outcomes(*(reserve(client, key) for key in "abc"))
    assert (found[0], found[1]) == ("acme/4", "acme/2")
    assert isinstance(found[2], BudgetDenied)
    assert await outcomes(reserve(client, "d")) == ["acme/5"]
    assert delays == pytest.approx([0.6, 0.6])


async def test_attempts_that_are_used_up_end_with_the_last_error(scripted, client):
    scripted.script = [End()] * 9
    (error,) = await outcomes(reserve(client, "a"))
    assert type(error) is Unavailable
    assert (error.outcome_unknown, error.idempotency_key) == (True, "a")
    assert (keys(scripted), scripted.sessions_opened) == (["a"] * 5, 5)


async def test_each_has_its_own_deadline(scripted, client):
    lines = [Pause() for _ in range(4)]
    scripted.script = list(lines)
    calls = [
        reserve(client, key, timeout=t) for key, t in zip("abcd", (9, 0.3, 9, 0.1), strict=True)
    ]
    await eventually(lambda: len(scripted.calls) == 4)
    for call, timeout in ((calls[3], "0.1"), (calls[1], "0.3")):
        (late,) = await outcomes(call)
        assert type(late) is DeadlineExceeded
        assert f"{scripted.address} gave no answer within {timeout} s" in str(late)
        assert late.idempotency_key == call.get_name()
    calls[2].cancel()
    scripted.script = [held(1)]
    lines[0].go.set()
    assert await outcomes(calls[0]) == ["acme/1"]
    # An answer that nobody waits for is let go.
    scripted.script = [held(2), held(3), held(4)]
    for line in lines[1:]:
        line.go.set()
    assert await outcomes(reserve(client, "e")) == [""]
    with pytest.raises(asyncio.CancelledError):
        calls[2].result()
    assert scripted.sessions_opened == 1


async def test_a_deadline_bounds_what_was_never_sent(client):
    async with scripted_authority() as gone:
        address = gone.address
    async with AuthorityClient(address, retry=RetryPolicy(attempts_max=99)) as lost:
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match=address):
            await lost.reserve("acme", [usd(1)], timeout=0.5)
        assert asyncio.get_running_loop().time() - began < 1


async def test_closing_ends_the_stream_as_it_should_be(scripted):
    async with AuthorityClient(scripted.address) as client:
        await client.reserve("acme", [usd(1)])
        call = client._session._stream._call
    assert await call.code() is grpc.StatusCode.OK
    # One that has carried nothing has opened nothing.
    async with AuthorityClient(scripted.address) as client:
        await client.get_balance("acme")
    assert scripted.sessions_opened == 1


async def test_closing_waits_no_longer_than_a_call_for_an_authority_that_says_nothing(scripted):
    client = AuthorityClient(scripted.address, timeout=0.3)
    scripted.script = [Pause()]
    leaver = reserve(client, "a")
    await eventually(lambda: scripted.calls)
    leaver.cancel()
    began = asyncio.get_running_loop().time()
    await client.close()
    assert 0.2 < asyncio.get_running_loop().time() - began < 5
    await eventually(lambda: scripted.sessions_ended)


async def test_without_streaming_each_is_a_call(scripted):
    async with AuthorityClient(scripted.address, streaming=False) as client:
        await outcomes(*(reserve(client, key) for key in "abc"))
    assert (sorted(keys(scripted)), scripted.sessions_opened) == (["a", "b", "c"], 0)


async def test_a_client_that_nobody_closed_leaves_no_stream(scripted):
    async def use():
        await AuthorityClient(scripted.address).reserve("acme", [usd(1)])

    await use()
    gc.collect()
    await eventually(lambda: scripted.sessions_ended == 1)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not names & {"session reader", "session writer"}


def in_another_loop(work):
    """Run work in a loop of another thread; return the message of its RuntimeError."""
    told = []

    def run():
        with pytest.raises(RuntimeError) as refused:
            asyncio.run(work())
        told.append(str(refused.value))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return told[0]


async def test_a_client_is_for_the_loop_that_it_was_made_in(scripted, client):
    async def watch():
        await anext(client.watch_balance("acme"))

    for work in (
        lambda: client.reserve("acme", [usd(1)]),
        lambda: client.get_balance("acme"),
        watch,
    ):
        assert "belongs to another event loop" in await asyncio.to_thread(in_another_loop, work)
    assert scripted.calls == []


@pytest.mark.parametrize("kind", [AuthorityClient, AdminClient])
def test_a_client_is_made_inside_a_loop(kind):
    with pytest.raises(RuntimeError, match="inside the event loop"):
        kind("127.0.0.1:1")
