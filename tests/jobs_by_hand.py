"""Fixtures: jobs in every state, made by hand on the stores of an authority without workers."""

from __future__ import annotations

import pytest

from authority.v1 import generation_service_pb2 as messages
from recounting import write_beat

CHAT = {"kind": messages.KIND_CHAT}
SECRET = "the prompt that nobody is to see"


@pytest.fixture
async def tenants_of_jobs(stubs):
    """An account, and one of another tenant."""
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.account("globex")


@pytest.fixture
def hand_in(tenants_of_jobs, generations):
    """A function that submits; it returns the id."""

    async def submitted(account="acme", **fields):
        made = await generations.submit(account, prompt=SECRET, **fields)
        return made.generation.generation_id

    return submitted


@pytest.fixture
async def every_state(hand_in, stores):
    """Jobs in every state, by their state, and entries of none."""
    made = {
        "ready": [await hand_in(), await hand_in(priority=messages.PRIORITY_BATCH)],
        "deferred": [await hand_in("acme/alice")],
        "running": [await hand_in(), await hand_in("globex"), await hand_in(**CHAT)],
        "orphaned": [await hand_in(), await hand_in(**CHAT)],
        "lost": [await hand_in()],
        "dead": [await hand_in(), await hand_in("acme/alice", **CHAT)],
        "ended": [await hand_in(), await hand_in(), await hand_in(), await hand_in()],
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
