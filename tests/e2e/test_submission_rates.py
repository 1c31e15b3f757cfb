"""Rates of submissions: of accounts, of their plans and of API keys, on the hot store's clock."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

import clients
from authorities import TOKEN, new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2
from authority.v1 import generation_service_pb2 as messages
from authority.v1.resources_pb2 import Account, Plan
from calls import send
from generating import Generations
from keys import make_key, signed_in
from refusals import Refusal, invalid, refused
from support import eventually


async def change_account(stubs, account, **fields):
    request = admin.UpdateAccountRequest(
        account=Account(account=account, **fields), update_mask=FieldMask(paths=list(fields))
    )
    return (await send(stubs, request)).account


async def change_key(stubs, api_key_id, **fields):
    request = admin.UpdateApiKeyRequest(
        api_key=admin.ApiKey(api_key_id=api_key_id, **fields),
        update_mask=FieldMask(paths=list(fields)),
    )
    return (await send(stubs, request)).api_key


async def submit_many(generations, count, account="acme"):
    """Submit new generations at once; return how many were let in."""

    async def one():
        try:
            await generations.submit(account)
        except Exception as error:  # noqa: BLE001 - Refusal.of raises for what is no refusal
            refusal = Refusal.of(error)
            assert refusal.metadata["denial_reason"] == "RATE_LIMITED"
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(count)]
    return sum(task.result() for task in tasks)


async def stored(core):
    rows = await core.database.rows("SELECT count(*) AS count FROM generation", {})
    return rows[0]["count"]


async def test_a_burst_of_a_minutes_worth_is_let_in_and_then_one_each_interval(
    stubs, generations, core
):
    await stubs.account("acme", submissions_per_minute=6)
    assert await submit_many(generations, 20) == 6
    refusal = await refused(generations.submit())
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DENIED")
    retry = refusal.detail(error_details_pb2.RetryInfo).retry_delay
    assert 0 < retry.ToMilliseconds() <= 10_000
    denial = refusal.detail(errors_pb2.Denial)
    assert denial.reason == errors_pb2.DENIAL_REASON_RATE_LIMITED
    (rate,) = denial.limiting_rates
    assert (rate.account, rate.api_key_id, rate.per_minute) == ("acme", "", 6)
    assert rate.retry_delay == retry
    # Ten seconds allow one more, and no wait allows more than the burst.
    core.hot.clock.offset_ms += 10_000
    assert await submit_many(generations, 5) == 1
    core.hot.clock.offset_ms += 3_600_000
    assert await submit_many(generations, 20) == 6
    assert await stored(core) == 13


async def test_a_refused_submission_leaves_nothing_and_its_key_may_be_used_again(
    stubs, generations, core
):
    await stubs.account("acme", submissions_per_minute=1)
    await generations.submit()
    key = new_key()
    for _ in range(3):
        await refused(generations.submit(key=key))
    assert await stored(core) == 1
    core.hot.clock.offset_ms += 60_000
    assert not (await generations.submit(key=key)).replayed


async def test_replays_are_free(stubs, generations):
    await stubs.account("acme", submissions_per_minute=2)
    key = new_key()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(generations.submit(key=key)) for _ in range(30)]
    assert [call.result().replayed for call in calls].count(False) == 1
    await generations.submit()
    assert (await generations.submit(key=key)).replayed
    await refused(generations.submit())


async def test_a_submission_that_is_wrong_is_not_counted(stubs, generations):
    await stubs.account("acme", submissions_per_minute=1)
    assert await invalid(generations.submit(prompt=""))
    assert await invalid(generations.submit(parent_id="acme/" + new_key()))
    await generations.submit()


async def test_all_rates_above_count_or_none(stubs, generations):
    await stubs.account("acme", submissions_per_minute=3)
    await stubs.account("acme/alice", submissions_per_minute=2)
    await stubs.account("acme/bob")
    assert await submit_many(generations, 9, "acme/alice") == 2
    # What alice's own rate has refused took nothing from the tenant's.
    assert await submit_many(generations, 9, "acme/bob") == 1
    denial = (await refused(generations.submit("acme/alice"))).detail(errors_pb2.Denial)
    assert {rate.account for rate in denial.limiting_rates} == {"acme", "acme/alice"}
    waits = [rate.retry_delay.ToMilliseconds() for rate in denial.limiting_rates]
    assert waits == sorted(waits, reverse=True)


@pytest.mark.parametrize(("of_plan", "let_in"), [({}, 10), ({"submissions_per_minute": 4}, 4)])
async def test_a_plan_gives_its_rate(stubs, generations, of_plan, let_in):
    await send(stubs, admin.CreatePlanRequest(plan=Plan(plan="free", **of_plan)))
    await stubs.account("acme", plan="free")
    assert await submit_many(generations, 25) == let_in


async def test_an_account_has_its_own_rate_before_its_plans(stubs, generations):
    await send(stubs, admin.CreatePlanRequest(plan=Plan(plan="free", submissions_per_minute=1)))
    await stubs.account("acme", plan="free", submissions_per_minute=7)
    assert await submit_many(generations, 12) == 7


async def test_a_plan_without_a_rate_and_no_plan_let_all_in(stubs, generations):
    await send(stubs, admin.CreatePlanRequest(plan=Plan(plan="pro", submissions_per_minute=0)))
    await stubs.account("acme", plan="pro")
    await stubs.account("globex")
    assert await submit_many(generations, 15) == 15
    assert await submit_many(generations, 15, "globex") == 15


async def test_each_of_a_batch_counts(stubs, generations):
    await stubs.account("acme", submissions_per_minute=4)
    requests = [
        messages.SubmitGenerationRequest(idempotency_key=new_key(), account="acme", prompt="a boat")
        for _ in range(9)
    ]
    batch = messages.BatchSubmitGenerationsRequest(requests=requests)
    answer = await generations.stub.BatchSubmitGenerations(batch, metadata=stubs.metadata)
    assert sum(result.HasField("response") for result in answer.results) == 4
    (code,) = {result.error.code for result in answer.results if result.HasField("error")}
    assert code == 8  # RESOURCE_EXHAUSTED


async def test_an_api_key_has_a_rate_over_all_its_accounts(stubs):
    for account in ("acme", "acme/alice", "acme/bob"):
        await stubs.account(account)
    made = await make_key(stubs, "acme", ["SUBMIT"], submissions_per_minute=3)
    assert made.api_key.submissions_per_minute == 3
    mine = Generations(signed_in(stubs, made.token))
    assert await submit_many(mine, 2, "acme/alice") + await submit_many(mine, 9, "acme/bob") == 3
    denial = (await refused(mine.submit())).detail(errors_pb2.Denial)
    (rate,) = denial.limiting_rates
    assert (rate.account, rate.api_key_id) == ("", made.api_key.api_key_id)
    # Another key, and the root token, are not held up.
    other = await make_key(stubs, "acme", ["SUBMIT"], submissions_per_minute=1)
    assert await submit_many(Generations(signed_in(stubs, other.token)), 3) == 1
    assert await submit_many(Generations(stubs), 5) == 5


async def test_a_changed_key_binds_and_is_recorded(stubs):
    await stubs.account("acme")
    made = await make_key(stubs, "acme", ["SUBMIT"])
    mine = Generations(signed_in(stubs, made.token))
    assert await submit_many(mine, 12) == 12
    api_key_id = made.api_key.api_key_id
    changed = await change_key(stubs, api_key_id, submissions_per_minute=2, display_name="app")
    assert (changed.submissions_per_minute, changed.display_name) == (2, "app")
    assert await submit_many(mine, 12) == 2
    (change, *_) = (await send(stubs, admin.ListChangesRequest(tenant="acme"))).changes
    assert (change.method, change.resource) == ("UpdateApiKey", api_key_id)
    assert '"submissions_per_minute":2' in change.after
    # To set it again changes nothing, and is not recorded.
    await change_key(stubs, api_key_id, submissions_per_minute=2)
    listed = (await send(stubs, admin.ListChangesRequest(tenant="acme"))).changes
    assert [row.method for row in listed].count("UpdateApiKey") == 1


async def test_what_is_wrong_with_a_keys_rate_is_named(stubs):
    await stubs.account("acme")
    made = await make_key(stubs, "acme", ["SUBMIT"])
    wrong = change_key(stubs, made.api_key.api_key_id, submissions_per_minute=-1)
    assert await invalid(wrong) == ["api_key.submissions_per_minute"]
    assert await invalid(change_key(stubs, "nobody")) == ["api_key.api_key_id", "update_mask"]
    unknown = await refused(change_key(stubs, "abcdefghijkl", display_name="x"))
    assert unknown.code == "NOT_FOUND"


async def test_a_key_of_another_tenant_is_not_changed(stubs):
    await stubs.account("acme")
    await stubs.account("globex")
    made = await make_key(stubs, "acme", ["SUBMIT"])
    stranger = signed_in(stubs, (await make_key(stubs, "globex")).token)
    refusal = await refused(change_key(stranger, made.api_key.api_key_id, display_name="mine"))
    assert refusal.code == "PERMISSION_DENIED"


async def test_a_changed_rate_binds_in_other_processes(stubs, start_authority, generations):
    await stubs.account("acme")
    _, others = await start_authority()
    theirs = Generations(others)
    assert await submit_many(theirs, 11) == 11
    await change_account(stubs, "acme", submissions_per_minute=2)
    assert await submit_many(generations, 5) == 2

    async def binds():
        return await submit_many(theirs, 1) == 0

    await eventually(binds)


async def test_two_processes_share_one_rate(stubs, start_authority, generations):
    await stubs.account("acme", submissions_per_minute=8)
    _, others = await start_authority()
    async with asyncio.TaskGroup() as group:
        mine = group.create_task(submit_many(generations, 20))
        theirs = group.create_task(submit_many(Generations(others), 20))
    assert mine.result() + theirs.result() == 8


async def test_the_python_client_says_when_to_try_again(stubs, authority):
    await stubs.account("acme", submissions_per_minute=1)
    address = f"127.0.0.1:{authority[0].port}"
    async with clients.GenerationClient(address, token=TOKEN) as client:
        await client.submit("acme", "a boat")
        with pytest.raises(clients.BudgetDenied) as denied:
            await client.submit("acme", "a boat")
    assert denied.value.denial.reason is clients.DenialReason.RATE_LIMITED
    (rate,) = denied.value.denial.limiting_rates
    assert rate.retry_after == denied.value.retry_after
    assert 0 < rate.retry_after.total_seconds() <= 60
