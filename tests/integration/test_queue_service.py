"""QueueService on states that were made by hand: what it tells is what a recount finds."""

from __future__ import annotations

import json
import pickle
from datetime import timedelta

import pytest

from authority.v1 import generation_service_pb2 as messages
from authority.v1 import queue_service_pb2
from calls import send
from clients import (
    BreakerState,
    InvalidRequest,
    JobFilter,
    JobState,
    Kind,
    NotAllowed,
    NotFound,
    QueueClient,
    Severity,
)
from keys import make_key, with_key
from recounting import counts_of, percentile, write_beat
from refusals import refused

IMAGE = {"size": "1024x1024"}
CHAT = {"kind": messages.KIND_CHAT}
SECRET = "the prompt that nobody is to see"


@pytest.fixture
async def acme(stubs):
    """An account, and one of another tenant."""
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.account("globex")


@pytest.fixture
def submit(acme, generations):
    """A function that submits; it returns the id."""

    async def submitted(account="acme", **fields):
        made = await generations.submit(account, prompt=SECRET, **fields)
        return made.generation.generation_id

    return submitted


@pytest.fixture
async def every_state(submit, stores):
    """Jobs in every state, by their state, and entries of none."""
    made = {
        "ready": [await submit(), await submit(priority=messages.PRIORITY_BATCH)],
        "deferred": [await submit("acme/alice")],
        "running": [await submit(), await submit("globex"), await submit(**CHAT)],
        "orphaned": [await submit(), await submit(**CHAT)],
        "lost": [await submit()],
        "dead": [await submit(), await submit("acme/alice", **CHAT)],
        "ended": [await submit(), await submit(), await submit(), await submit()],
    }
    async with stores.redis() as redis:
        await write_beat(redis)
        ((seconds, _),) = [await redis.time()]
        for name in made["deferred"]:
            await redis.zadd("paymaster:queue:image", {f"{name}:0": (seconds + 600) * 1000})
        await redis.zrem("paymaster:queue:image", f"{made['lost'][0]}:0")
        await redis.set(f"arq:in-progress:{made['running'][1]}:0", "host:1:a-uuid 7", px=60_000)
        await redis.set(f"arq:in-progress:{made['orphaned'][0]}:0", "host:9:a-uuid 7", px=60_000)
        # Old names, and one of nothing.
        await redis.zadd("paymaster:queue:image", {f"{made['ready'][0]}:9": 1, "nothing:0": 2})
        for name in made["dead"]:
            await redis.zrem("paymaster:queue:image", f"{name}:0")
    owner = "'host:9:another-uuid'"
    running = {"state": "'RUNNING'", "lease_owner": owner, "start_time": "now()"}
    for place, until in (("running", "+"), ("orphaned", "-")):
        for name in (made[place][0], made[place][-1])[place == "orphaned" :]:
            await stores.set(
                name, lease_until=f"now() {until} interval '1 minute'", **running, attempt_count="1"
            )
    for name in made["dead"]:
        await stores.set(
            name,
            state="'FAILED'",
            end_time="now() - interval '1 hour'",
            dead_time="now() - interval '1 hour'",
            error_reason="'unavailable'",
            attempt_count="1",
        )
        await stores.rows(
            "INSERT INTO generation_attempt (generation_id, attempt, state, options, provider,"
            " model, error_reason, error_class, error_body, estimate_micros, charged_micros,"
            " request_id) VALUES (%s, 1, 'RELEASED', '[]', 'openai', 'gpt-image-2', 'unavailable',"
            " 'ProviderUnavailable', '{\"status\": 503}', 40000, 0, 'req_1')",
            name,
        )
    for at, name in enumerate(made["ended"]):
        await stores.set(
            name,
            state="'FAILED'" if at == 0 else "'SUCCEEDED'",
            start_time=f"create_time + interval '{at + 1} seconds'",
            end_time=f"create_time + interval '{3 * at + 3} seconds'",
            favourite="true" if at == 1 else "false",
        )
    return made


async def test_the_figures_are_those_of_a_recount(every_state, queues, stores):
    told = await queues.list_queues()
    assert counts_of(told) == await stores.recount()
    (image, chat, video) = told.queues
    assert (image.ready_count, image.deferred_count, image.running_count) == (2, 1, 2)
    assert (image.orphaned_count, image.lost_count, image.dead_count) == (1, 1, 1)
    assert image.stray_count == 2 + len(every_state["ended"])
    assert (chat.running_count, chat.orphaned_count, chat.dead_count) == (1, 1, 1)
    assert video.ready_count == video.stray_count == 0
    assert (image.slot_count, chat.slot_count) == (2, 0)
    figures = (await stores.refigure())["image"]
    assert (image.submitted_count, image.ended_count, image.failed_count) == (
        figures["submitted"],
        figures["ended"],
        figures["failed"],
    )
    assert (image.ended_count, image.failed_count, image.failed_share) == (4, 1, 0.25)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        for kind in ("wait", "run"):
            told_span = getattr(image, f"{kind}_{name}")
            assert told_span == pytest.approx(
                percentile(figures[f"{kind}s"], share), abs=timedelta(milliseconds=1)
            )
    (oldest,) = await stores.rows(
        "SELECT create_time FROM generation WHERE generation_id = %s", every_state["ready"][0]
    )
    assert image.oldest_ready_time == oldest["create_time"]
    assert told.window == timedelta(minutes=5)
    # 2 ready, 1 deferred, 1 orphaned and 1 lost at 4 within the window.
    assert image.drain_time - told.read_time == timedelta(minutes=5) * 5 / 4
    assert video.drain_time is None


async def test_each_job_is_listed_in_its_state(every_state, queues):
    listed = [job async for job in queues.list_jobs(page_size=3)]
    names = [job.generation_id for job in listed]
    assert names == sorted(names)
    found = {}
    for job in listed:
        found.setdefault(job.state.lower(), set()).add(job.generation_id)
    # What has ended is listed if it is asked for.
    expected = {state: set(names) for state, names in every_state.items()}
    assert found == {state: names for state, names in expected.items() if state != "ended"}
    for state, wanted in expected.items():
        one = [job async for job in queues.list_jobs(JobFilter(state=JobState(state.upper())))]
        assert {job.generation_id for job in one} == wanted, state
    assert all(job.prompt == "" for job in listed)
    shown = [job async for job in queues.list_jobs(include_prompt=True)]
    assert {job.prompt for job in shown} == {SECRET}


async def test_jobs_are_filtered(every_state, queues):
    async def ids(tenant="", **fields):
        found = queues.list_jobs(JobFilter(**fields), tenant=tenant)
        return {job.generation_id async for job in found}

    dead = every_state["dead"]
    assert await ids(kind=Kind.CHAT) == {
        every_state["running"][2],
        every_state["orphaned"][1],
        dead[1],
    }
    assert await ids(provider="openai") == set(dead)
    assert await ids(error_reason="unavailable", kind=Kind.IMAGE) == {dead[0]}
    assert await ids(account="acme/alice") == {every_state["deferred"][0], dead[1]}
    assert await ids(account="globex") == await ids(tenant="globex") == {every_state["running"][1]}
    assert await ids(older_than=timedelta(minutes=30)) == set(dead)
    assert await ids(older_than=timedelta(days=30)) == set()
    with pytest.raises(InvalidRequest, match="provider"):
        await ids(provider="No Such")


async def test_a_job_in_full_has_its_attempts_and_its_entry(every_state, queues, stores):
    dead, ready = every_state["dead"][0], every_state["ready"][1]
    found = await queues.get_job(dead)
    (attempt,) = found.attempts
    assert (found.job.state, found.job.error_reason) == (JobState.DEAD, "unavailable")
    assert (attempt.error_class, attempt.error_body) == ("ProviderUnavailable", '{"status": 503}')
    assert (attempt.estimate, attempt.charged, attempt.request_id) == (40_000, 0, "req_1")
    assert (found.entry.score, found.entry.claim_ttl) == (None, None)

    found = await queues.get_job(ready)
    assert found.entry.job_id == f"{ready}:0"
    assert found.entry.polite
    assert json.loads(found.entry.data)["a"] == [ready]
    assert found.entry.data_ttl > timedelta(days=29)
    assert SECRET not in repr(found) + found.entry.data
    assert (await queues.get_job(ready, include_prompt=True)).job.prompt == SECRET

    orphan = await queues.get_job(every_state["orphaned"][0])
    assert orphan.entry.claim == "host:9:a-uuid 7"
    assert timedelta(0) < orphan.entry.claim_ttl <= timedelta(minutes=1)
    assert orphan.job.worker == ""
    assert (await queues.get_job(every_state["running"][0])).job.worker == "host:9"
    with pytest.raises(NotFound):
        await queues.get_job("acme/0199a0b2-0000-7000-8000-000000000000")


class Bomb:
    """What must never be unpickled."""

    def __reduce__(self):
        return (print, ("it was decoded",))


async def test_what_is_no_json_is_not_decoded(submit, queues, stores, capsys):
    name = await submit()
    shown = []
    async with stores.redis() as redis:
        for value in (pickle.dumps(Bomb()), b"\xff{", b"[" * 100_000):
            await redis.set(f"arq:job:{name}:0", value)
            shown.append((await queues.get_job(name)).entry.data)
        await redis.set("arq:result:x", pickle.dumps(Bomb()))
        await redis.delete(f"arq:job:{name}:0")
        shown.append((await queues.get_job(name)).entry.data)
        findings = {finding.finding: finding for finding in await queues.diagnose()}
    assert shown == ["pickle, not decoded", "no JSON, not decoded", "no JSON, not decoded", "gone"]
    assert findings["pickle"].subjects == ("arq:result:x",)
    assert findings["job_data_gone"].subjects == (f"{name}:0",)
    assert "decoded" not in capsys.readouterr().out


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


async def test_pauses_and_limits_are_set_told_and_recorded(acme, queues, stores):
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


async def test_the_doctor_names_what_is_wrong_and_the_way_out(every_state, queues, stores):
    async with stores.redis() as redis:
        await redis.zadd("arq:abort", {"stale": 1})
        await redis.delete(f"arq:job:{every_state['ready'][0]}:0")
        await redis.hset("paymaster:limit:provider:openai:breaker", "until", 9e12)
    await stores.set(
        every_state["ready"][1],
        create_time="now() - interval '6 minutes'",
        next_try_time="now() - interval '6 minutes'",
    )
    await queues.pause_queue("video")
    findings = await queues.diagnose()
    found = {finding.finding: finding for finding in findings}
    assert {name: finding.count for name, finding in found.items()} == {
        "worker_missing": 1,
        "job_data_gone": 1,
        "worker_dead": 1,
        "queue_starving": 1,
        "job_lost": 1,
        "job_orphaned": 2,
        "entry_stray": 7,
        "claim_orphaned": 1,
        "abort_stale": 1,
        "breaker_open": 1,
        "paused": 1,
        "dead_letters": 2,
    }
    assert found["worker_missing"].subjects == ("chat",)
    assert found["job_data_gone"].subjects == (f"{every_state['ready'][0]}:0",)
    assert found["worker_dead"].subjects == ("host:9",)
    assert found["dead_letters"].subjects == ("unavailable (2)",)
    assert all(finding.message and finding.way_out for finding in findings)
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=list(Severity).index, reverse=True)


async def test_nothing_is_wrong_with_nothing(acme, queues):
    assert await queues.diagnose() == []
    assert await queues.list_workers() == []
    told = await queues.list_queues()
    assert sum(sum(counts.values()) for counts in counts_of(told).values()) == 0


async def test_a_tenant_sees_and_changes_its_own_jobs_alone(every_state, stubs, authority):
    tenants = await make_key(stubs, "globex")
    readers = await make_key(stubs, "globex", ["READ"])
    address = f"127.0.0.1:{authority[0].port}"
    async with QueueClient(address, token=tenants.token, timeout=10) as own:
        running = every_state["running"][1]
        assert [job.generation_id async for job in own.list_jobs()] == [running]
        made = await own.cancel_jobs(JobFilter(), dry_run=True)
        assert made.generation_ids == (running,)
        for call in (
            own.list_queues(),
            own.list_workers(),
            own.diagnose(),
            own.pause_queue("image"),
            own.promote_jobs([running]),
            own.get_job(every_state["ready"][0]),
            own.cancel_jobs(every_state["ready"]),
        ):
            with pytest.raises(NotAllowed):
                await call
    async with QueueClient(address, token=readers.token, timeout=10) as reader:
        assert (await reader.get_job(running)).job.state is JobState.RUNNING
        with pytest.raises(NotAllowed, match="ADMIN"):
            await reader.cancel_jobs([running], dry_run=True)


async def test_a_page_token_is_of_its_own_listing(every_state, stubs):
    request = queue_service_pb2.ListJobsRequest(page_size=1)
    token = (await send(stubs, request)).next_page_token
    assert token
    other = queue_service_pb2.ListJobsRequest(page_size=1, page_token=token)
    other.filter.account = "acme"
    assert (await refused(send(stubs, other))).reason == "INVALID_FIELD"
    bound = await with_key(stubs, "acme")
    request.page_token = token
    assert (await refused(send(bound, request))).reason == "INVALID_FIELD"
