"""What operators change by QueueService: jobs in every state, pauses and limits."""

from __future__ import annotations

import pytest

from clients import BreakerState, InvalidRequest, JobFilter, JobState, Kind
from recounting import counts_of


async def test_nothing_is_changed_on_a_dry_run_and_each_change_only_where_it_fits(
    every_state, queues, stores, core
):
    before = await stores.recount()
    letters = set(every_state["dead"])
    for change in (queues.retry_jobs, queues.discard_jobs):
        assert set((await change(JobFilter(), dry_run=True)).generation_ids) == letters
    names = every_state["ready"] + every_state["deferred"]
    assert set((await queues.promote_jobs(JobFilter(), dry_run=True)).generation_ids) == set(names)
    names += every_state["lost"] + every_state["orphaned"]
    assert set((await queues.requeue_jobs(JobFilter(), dry_run=True)).generation_ids) == set(names)
    names += every_state["running"]
    assert set((await queues.cancel_jobs(JobFilter(), dry_run=True)).generation_ids) == set(names)
    assert await stores.recount() == before
    assert await stores.rows("SELECT FROM admin_audit WHERE resource_type = 'job'") == []
    # What it is not for is passed over.
    assert (await queues.retry_jobs(every_state["ready"])).generation_ids == ()
    with pytest.raises(InvalidRequest, match="DEAD"):
        await queues.retry_jobs(JobFilter(state=JobState.READY))
    with pytest.raises(InvalidRequest, match="a filter with nothing set means every job"):
        await queues.cancel_jobs([])


async def test_dead_letters_are_retried_or_discarded_and_that_is_recorded(
    every_state, queues, stores, stubs
):
    first, second = every_state["dead"]
    made = await queues.retry_jobs(JobFilter(provider="openai", kind=Kind.IMAGE), reason="it is up")
    assert (made.generation_ids, made.more) == ((first,), False)
    assert (await queues.get_job(first)).job.state is JobState.READY
    assert (await queues.discard_jobs([second])).generation_ids == (second,)
    assert (await queues.get_job(second)).job.state is JobState.ENDED
    assert counts_of(await queues.list_queues()) == await stores.recount()
    changes = await stores.rows("SELECT * FROM admin_audit WHERE resource_type = 'job' ORDER BY 1")
    assert [(row["method"], row["resource"], row["account"]) for row in changes] == [
        ("RetryJobs", first, "acme"),
        ("DiscardJobs", second, "acme/alice"),
    ]
    assert changes[0]["reason"] == "it is up"
    assert changes[0]["before"] == {"state": "DEAD"}


async def test_promoted_jobs_are_first_and_run_now(every_state, queues, stores):
    late, polite = every_state["deferred"][0], every_state["ready"][1]
    await stores.set(late, next_try_time="now() + interval '10 minutes'")
    others = [every_state["lost"][0], every_state["running"][0]]
    made = await queues.promote_jobs([late, polite, *others])
    assert set(made.generation_ids) == {late, polite}
    async with stores.redis() as redis:
        queue = [name.decode() for name in await redis.zrange("paymaster:queue:image", 0, 1)]
        assert await redis.zcard("paymaster:queue:image:polite") == 0
    # Among themselves they have the order of their submission.
    assert queue == [f"{name}:0" for name in (polite, late)]
    for name in made.generation_ids:
        assert (await queues.get_job(name)).job.state is JobState.READY
    (row,) = await stores.rows(
        "SELECT next_try_time <= now() AS due, priority FROM generation WHERE generation_id = %s",
        late,
    )
    # A replay of its submission still asks for the same.
    assert row == {"due": True, "priority": "NORMAL"}


async def test_requeued_jobs_have_one_new_entry(every_state, queues, stores):
    names = [every_state[state][0] for state in ("ready", "orphaned", "lost")]
    made = await queues.requeue_jobs(names)
    assert set(made.generation_ids) == set(names)
    async with stores.redis() as redis:
        for name in names:
            assert await redis.zscore("paymaster:queue:image", f"{name}:0") is None
            assert await redis.exists(f"arq:job:{name}:0") == 0
            assert await redis.zscore("paymaster:queue:image", f"{name}:1") is not None
    assert counts_of(await queues.list_queues()) == await stores.recount()
    states = [(await queues.get_job(name)).job.state for name in names]
    assert set(states) <= {JobState.READY, JobState.ORPHANED}


async def test_cancelled_jobs_end_or_are_told_to(every_state, queues, stores):
    ready, running = every_state["ready"][0], every_state["running"][0]
    made = await queues.cancel_jobs([ready, running, every_state["ended"][0]])
    assert set(made.generation_ids) == {ready, running}
    found = await queues.get_job(ready)
    assert (found.job.state, found.job.generation_state) == (JobState.ENDED, "CANCELLED")
    found = await queues.get_job(running)
    assert found.job.state is JobState.RUNNING
    assert found.job.cancel_time is not None


async def test_pauses_and_limits_are_set_told_and_recorded(tenants_of_jobs, queues, stores):
    made = await queues.pause_queue("image", reason="too dear")
    assert made.changed
    again = await queues.pause_queue("image")
    assert (again.changed, again.pause_time) == (False, made.pause_time)
    await queues.pause_queue("provider:fal")
    told = await queues.list_queues()
    assert {pause.target for pause in told.pauses} == {"image", "provider:fal"}
    assert told.queues[0].pause_time == made.pause_time
    assert await queues.resume_queue("image")
    assert not await queues.resume_queue("image")
    assert (await queues.list_queues()).queues[0].pause_time is None

    await queues.set_limit("provider:openai", "concurrency", 3, reason="slowly")
    await queues.set_limit("account:*", "concurrency", 7)
    assert await queues.unset_limit("account:*", "concurrency")
    assert not await queues.unset_limit("account:*", "concurrency")
    async with stores.redis() as redis:
        held = "paymaster:limit:provider:openai:held"
        now_ms = (await redis.time())[0] * 1000
        await redis.zadd(held, {"a": now_ms + 60_000, "b": now_ms - 60_000})
        await redis.hset(
            "paymaster:limit:provider:openai:breaker",
            mapping={"until": now_ms + 60_000, "openings": 1},
        )
    found = await queues.list_limits()
    (limit,) = found.limits
    assert (limit.subject, limit.name, limit.value) == ("provider:openai", "concurrency", 3)
    fal, openai = found.providers
    assert (fal.provider, fal.breaker) == ("fal", BreakerState.CLOSED)
    assert fal.pause_time is not None
    assert (openai.running_count, openai.breaker) == (1, BreakerState.OPEN)
    assert openai.open_until_time is not None
    rows = await stores.rows("SELECT * FROM admin_audit WHERE tenant = 'platform' ORDER BY 1")
    assert [(row["method"], row["resource"]) for row in rows] == [
        ("PauseQueue", "image"),
        ("PauseQueue", "provider:fal"),
        ("ResumeQueue", "image"),
        ("SetLimit", "provider:openai concurrency"),
        ("SetLimit", "account:* concurrency"),
        ("UnsetLimit", "account:* concurrency"),
    ]
    assert (rows[0]["reason"], rows[3]["after"]) == ("too dear", {"value": 3})
    for target in ("everything", "provider:", "provider:No", "x" * 100_000):
        with pytest.raises(InvalidRequest, match="provider:NAME"):
            await queues.pause_queue(target)
    for subject, name in (("openai", "concurrency"), ("account:acme", "per_minute")):
        with pytest.raises(InvalidRequest, match="limit"):
            await queues.set_limit(subject, name, 1)
