"""QueueService on states that were made by hand: what it tells is what a recount finds."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from datetime import timedelta

import pytest

from authorities import TOKEN
from authority.v1 import queue_service_pb2
from calls import send
from clients import (
    InvalidRequest,
    JobFilter,
    JobState,
    Kind,
    NotAllowed,
    NotFound,
    QueueClient,
    Severity,
)
from jobs_by_hand import SECRET
from keys import make_key, with_key
from recounting import counts_of, percentile
from refusals import refused


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


async def test_what_is_no_json_is_not_decoded(hand_in, queues, stores, capsys):
    name = await hand_in()
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


async def test_nothing_is_wrong_with_nothing(tenants_of_jobs, queues):
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


async def test_the_command_line_tells_the_same(every_state, authority, stores, tmp_path):
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{authority[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }

    async def document(*words):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paymaster", "queues", *words, "--json"),
            env=environment,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        return json.loads(printed)

    recounted = await stores.recount()
    for queue in (await document("ls"))["queues"]:
        counted = recounted[queue["kind"].lower()]
        assert counted == {name: queue[f"{name}_count"] for name in counted}
    listed = await document("jobs", "--state", "orphaned")
    assert {job["generation_id"] for job in listed["jobs"]} == set(every_state["orphaned"])
    assert all(job["prompt"] == "" for job in listed["jobs"])
    made = await document("retry", "--provider", "openai", "--reason", "it is back")
    assert set(made["generation_ids"]) == set(every_state["dead"])
    shown = await document("show", every_state["dead"][0])
    assert (shown["job"]["state"], shown["entry"]["requeue_number"]) == ("READY", 1)
    assert (await document("dead"))["jobs"] == []
