"""Batches: an answer for each item, whatever becomes of the others."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing
from google.rpc import code_pb2, error_details_pb2

from authorities import legs_of, new_key
from authority.rpc import batch_servicing
from authority.rpc.outcomes import outcome_of
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import errors_pb2
from refusals import detail_of, invalid
from support import eventually


def reserve_of(account, amount, key=None):
    return budget.ReserveRequest(
        idempotency_key=key or new_key(),
        account=account,
        options=[budget.Option(legs=legs_of({"USD": amount}))],
    )


async def batch_reserve(stubs, *requests):
    request = budget.BatchReserveRequest(requests=requests)
    response = await stubs.budget.BatchReserve(request, metadata=stubs.metadata)
    return list(response.results)


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    yield stubs
    assert await stubs.differences() == []


async def test_a_bad_item_fails_alone_and_says_what_the_unary_call_would(acme):
    results = await batch_reserve(
        acme,
        reserve_of("acme", 100),
        reserve_of("acme", 5_000),
        reserve_of("nobody", 1),
        reserve_of("acme", 0),
        reserve_of("acme", 200),
    )
    assert [result.WhichOneof("result") for result in results] == [
        "response",
        "error",
        "error",
        "error",
        "response",
    ]
    denied, unknown, invalid = (result.error for result in results[1:4])
    assert denied.code == code_pb2.RESOURCE_EXHAUSTED
    assert detail_of(denied, errors_pb2.Denial).limiting_budgets[0].short_by > 0
    assert detail_of(unknown, error_details_pb2.ErrorInfo).reason == "NOT_FOUND"
    (violation,) = detail_of(invalid, error_details_pb2.BadRequest).field_violations
    assert violation.field == "options[0].legs[0].amount"
    assert (await acme.balance("acme"))["acme", "usd-day"] == (300, 0, 0, 700)


async def test_commits_and_refunds_come_in_batches_too(acme):
    held = await batch_reserve(acme, *(reserve_of("acme", 10) for _ in range(3)))
    ids = [result.response.reservation.reservation_id for result in held]
    commits = budget.BatchCommitRequest(
        requests=[
            budget.CommitRequest(
                idempotency_key=new_key(), reservation_id=name, actual=legs_of({"USD": 8})
            )
            for name in [*ids, ids[0]]
        ]
    )
    committed = (await acme.budget.BatchCommit(commits, metadata=acme.metadata)).results
    told = [result.WhichOneof("result") for result in committed]
    assert sorted(told) == ["error", "response", "response", "response"]
    refunds = budget.BatchRefundRequest(
        requests=[
            budget.RefundRequest(idempotency_key=new_key(), reservation_id=name)
            for name in [ids[0], "acme/nothing", ids[1]]
        ]
    )
    refunded = (await acme.budget.BatchRefund(refunds, metadata=acme.metadata)).results
    assert [result.WhichOneof("result") for result in refunded] == ["response", "error", "response"]
    assert (await acme.balance("acme"))["acme", "usd-day"] == (0, 24, 16, 992)


async def test_two_items_with_one_key_have_one_effect_and_two_answers(acme):
    key = new_key()
    first, second = await batch_reserve(
        acme, reserve_of("acme", 10, key), reserve_of("acme", 10, key)
    )
    assert first.response.reservation == second.response.reservation
    assert sorted([first.response.replayed, second.response.replayed]) == [False, True]
    (reused,) = await batch_reserve(acme, reserve_of("acme", 11, key))
    assert reused.error.code == code_pb2.ALREADY_EXISTS
    assert (await acme.balance("acme"))["acme", "usd-day"] == (10, 0, 0, 990)


async def test_five_hundred_share_the_journals_transactions(acme, core, monkeypatch):
    sizes = []
    write = core.journal.write

    async def counted(operations, **given):
        sizes.append(len(operations))
        return await write(operations, **given)

    monkeypatch.setattr(core.journal, "write", counted)
    results = await batch_reserve(acme, *(reserve_of("acme", 1) for _ in range(500)))
    assert {result.WhichOneof("result") for result in results} == {"response"}
    assert sum(sizes) == 500
    assert len(sizes) < 100


@pytest.mark.parametrize("count", [0, batch_servicing.BATCH_MAX + 1])
async def test_a_batch_of_a_wrong_size_is_refused(acme, count):
    call = batch_reserve(acme, *(reserve_of("acme", 1) for _ in range(count)))
    assert await invalid(call) == ["requests"]


async def test_what_was_decided_goes_on_when_the_caller_has_left(acme, core, monkeypatch):
    appended, go_on = asyncio.Event(), asyncio.Event()
    append = core.context.journal.append

    async def late(operation, entry):
        appended.set()
        await go_on.wait()
        await append(operation, entry)

    async def nothing():
        return 0

    core.sweeper.drain = nothing
    monkeypatch.setattr(core.context.journal, "append", late)
    keys = [new_key() for _ in range(3)]
    call = asyncio.ensure_future(
        batch_reserve(acme, *(reserve_of("acme", 10, key) for key in keys))
    )
    await appended.wait()
    call.cancel()
    await asyncio.wait([call])
    go_on.set()
    # By nobody else, and without being asked again.
    for key in keys:
        await eventually(lambda key=key: core.ledger.find_operation("acme", key))
    again = await batch_reserve(acme, *(reserve_of("acme", 10, key) for key in keys))
    assert all(result.response.replayed for result in again)
    assert (await acme.balance("acme"))["acme", "usd-day"] == (30, 0, 0, 970)


async def test_a_fault_of_our_own_is_internal_for_its_item_alone():
    async def broken(request):
        if request == "bad":
            raise RuntimeError("secret")
        return request

    with structlog.testing.capture_logs() as logs:
        assert await outcome_of(broken, "good") == "good"
        status = await outcome_of(broken, "bad")
    assert status.code == code_pb2.INTERNAL
    assert "secret" not in status.message
    info = detail_of(status, error_details_pb2.ErrorInfo)
    assert logs[0]["event"] == "item_failed"
    assert logs[0]["request_id"] == info.metadata["request_id"]
