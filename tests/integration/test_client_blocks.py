"""How a block of `client.reservation(...)` ends: value, exception, cancellation, lost answers."""

from __future__ import annotations

import asyncio

import pytest

from authority.v1 import budget_service_pb2, resources_pb2
from authority_script import Pause, scripted_authority, status, unavailable
from clients import (
    AuthorityClient,
    BudgetDenied,
    InternalError,
    ReservationState,
    Unavailable,
    images,
    usd,
)
from clients.sync import SyncAuthorityClient


@pytest.fixture
async def scripted():
    """An authority that answers from a script."""
    async with scripted_authority() as authority:
        yield authority


@pytest.fixture
async def client(scripted):
    """A client whose delays take no time."""

    async def at_once(seconds):
        pass

    async with AuthorityClient(scripted.address, sleep=at_once) as authority:
        yield authority


def message(state, **numbers):
    """Return a reservation of eight cents and an image."""
    return resources_pb2.Reservation(
        reservation_id="acme/7",
        state=f"RESERVATION_STATE_{state}",
        legs=[
            resources_pb2.ReservationLeg(unit="UNIT_USD", reserved=80_000, **numbers),
            resources_pb2.ReservationLeg(unit="UNIT_IMAGES", reserved=1),
        ],
    )


RESERVED = budget_service_pb2.ReserveResponse(reservation=message("HELD"))
COMMITTED = budget_service_pb2.CommitResponse(reservation=message("COMMITTED", charged=50_000))
RELEASED = budget_service_pb2.ReleaseResponse(reservation=message("RELEASED"))


def methods(scripted):
    """Return what was called, in order."""
    return [call.method for call in scripted.calls]


def actual(scripted):
    """Return what the last Commit said, and its key."""
    request = scripted.requests("Commit")[-1]
    return [(leg.unit, leg.amount) for leg in request.actual], request.idempotency_key


async def test_it_commits_what_was_set(scripted, client):
    scripted.script = [RESERVED, COMMITTED]
    async with client.reservation("acme", [usd("0.08"), images(1)]) as held:
        assert held.reservation_id == "acme/7"
        held.actual = [usd("0.05"), images(1)]
    assert methods(scripted) == ["Reserve", "Commit"]
    assert actual(scripted) == ([(1, 50_000), (3, 1)], "acme/7/commit")
    assert held.reservation.state is ReservationState.COMMITTED


async def test_it_commits_all_if_nothing_was_set(scripted, client):
    scripted.script = [RESERVED, COMMITTED]
    async with client.reservation("acme", [usd("0.08"), images(1)]):
        pass
    assert actual(scripted)[0] == [(1, 80_000), (3, 1)]


async def test_it_commits_nothing_if_that_was_set(scripted, client):
    scripted.script = [RESERVED, COMMITTED]
    async with client.reservation("acme", [usd("0.08"), images(1)]) as held:
        held.actual = []
    assert actual(scripted)[0] == []


async def test_an_exception_releases(scripted, client):
    scripted.script = [RESERVED, RELEASED]
    with pytest.raises(ZeroDivisionError):
        async with client.reservation("acme", [usd("0.08")]) as held:
            _ = 1 / 0
    assert methods(scripted) == ["Reserve", "Release"]
    assert scripted.requests("Release")[0].idempotency_key == "acme/7/release"
    assert held.reservation.state is ReservationState.RELEASED


async def test_an_exception_after_the_cost_is_known_commits(scripted, client):
    scripted.script = [RESERVED, COMMITTED]
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
        async with client.reservation("acme", [usd("0.08")]) as held:
            held.actual = [usd("0.05")]
            _ = 1 / 0
    assert methods(scripted) == ["Reserve", "Commit"]


async def test_a_denial_does_not_enter(scripted, client):
    scripted.script = [status("RESOURCE_EXHAUSTED", "DENIED")]
    with pytest.raises(BudgetDenied):
        async with client.reservation("acme", [usd("0.08")]):
            pytest.fail("the block was entered")
    assert methods(scripted) == ["Reserve"]


async def test_a_lost_answer_of_the_commit_is_repeated_with_its_key(scripted, client):
    scripted.script = [RESERVED, unavailable(), COMMITTED]
    async with client.reservation("acme", [usd("0.08")]) as held:
        held.actual = [usd("0.05")]
    assert methods(scripted) == ["Reserve", "Commit", "Commit"]
    first, second = scripted.requests("Commit")
    assert first == second


async def test_a_commit_without_an_outcome_raises_and_can_be_repeated(scripted, client):
    scripted.script = [RESERVED, *[unavailable()] * 5, COMMITTED]
    with pytest.raises(Unavailable) as lost:
        async with client.reservation("acme", [usd("0.08")]) as held:
            held.actual = [usd("0.05")]
    assert lost.value.idempotency_key == held.commit_key
    assert held.reservation.state is ReservationState.HELD
    await client.commit(held.reservation_id, held.actual, idempotency_key=held.commit_key)
    assert len({request.SerializeToString() for request in scripted.requests("Commit")}) == 1
    assert "Release" not in methods(scripted)


async def test_a_release_that_fails_does_not_hide_the_exception(scripted, client):
    scripted.script = [RESERVED, status("INTERNAL", "INTERNAL")]
    with pytest.raises(ZeroDivisionError) as raised:
        async with client.reservation("acme", [usd("0.08")]):
            _ = 1 / 0
    assert raised.value.__notes__ == ["acme/7 is not settled, and expires: It was INTERNAL."]


async def cancelled_at(scripted, client, line):
    """Run a block, cancel it when the script has come to a line, and return its CancelledError."""

    async def work():
        async with client.reservation("acme", [usd("0.08")]) as held:
            held.actual = [usd("0.05")]

    task = asyncio.create_task(work())
    await line.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    line.go.set()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    return cancelled.value


async def test_cancellation_in_the_block_releases(scripted, client):
    scripted.script = [RESERVED, RELEASED]
    entered = asyncio.Event()

    async def work():
        async with client.reservation("acme", [usd("0.08")]):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert methods(scripted) == ["Reserve", "Release"]


async def test_cancellation_during_the_commit_lets_it_finish(scripted, client):
    line = Pause()
    scripted.script = [RESERVED, line, COMMITTED]
    await cancelled_at(scripted, client, line)
    assert methods(scripted) == ["Reserve", "Commit"]
    assert scripted.script == []


async def test_a_commit_that_fails_under_cancellation_is_its_cause(scripted, client):
    line = Pause()
    scripted.script = [RESERVED, line, status("INTERNAL", "INTERNAL")]
    cancelled = await cancelled_at(scripted, client, line)
    assert isinstance(cancelled.__cause__, InternalError)


async def test_cancellation_during_the_reserve_enters_nothing(scripted, client):
    line = Pause()
    scripted.script = [line, RESERVED]
    await cancelled_at(scripted, client, line)
    assert methods(scripted) == ["Reserve"]


async def test_the_sync_block_ends_the_same(scripted):
    def work():
        with SyncAuthorityClient(scripted.address, sleep=lambda _: None) as client:
            with client.reservation("acme", [usd("0.08")]) as paid:
                paid.actual = [usd("0.05")]
            assert paid.reservation.state is ReservationState.COMMITTED
            with pytest.raises(KeyboardInterrupt), client.reservation("acme", [usd(1)]) as back:
                raise KeyboardInterrupt
            assert back.reservation.state is ReservationState.RELEASED
            with pytest.raises(Unavailable), client.reservation("acme", [usd(1)]):
                pass

    scripted.script = [
        *[RESERVED, unavailable(), COMMITTED],
        *[RESERVED, RELEASED],
        *[RESERVED, *[unavailable()] * 5],
    ]
    await asyncio.to_thread(work)
    assert methods(scripted)[:5] == ["Reserve", "Commit", "Commit", "Reserve", "Release"]
    assert actual(scripted)[1] == "acme/7/commit"
    assert scripted.script == []
