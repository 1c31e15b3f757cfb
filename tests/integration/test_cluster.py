"""Every script on a cluster of one node: each key is declared, and all are of one slot."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from authorities import make_settings
from authority.hotstate.keys import TenantKeys
from authority.hotstate.scripts import Script, script_set
from authority.recovery import sweep
from generating import Generations
from monitoring import monitoring
from refusals import refused


@pytest.fixture
async def cluster_authority(cluster_url, ledger_url, start_authority, tmp_path, monkeypatch):
    """An authority whose hot store is the cluster, and which sweeps when the test says so."""
    monkeypatch.setattr(sweep, "TICK_SECONDS", 3_600)
    return await start_authority(make_settings(ledger_url, cluster_url, tmp_path))


@pytest.fixture
async def monitor(cluster_url):
    """What scripts do to the cluster."""
    async with monitoring(cluster_url) as monitor:
        yield monitor


def kind_of(key):
    """Return what a key holds, by its name."""
    tagged, _, rest = key.partition("}:")
    assert tagged.startswith("pm:{"), key
    parts = rest.split(":")
    return parts[1] if parts[0].isdecimal() else parts[0]


async def spend(stubs, account, amounts, **options):
    """Reserve; return the reservation's id."""
    return (await stubs.reserve(account, amounts, **options)).reservation.reservation_id


async def do_everything(core, stubs):
    """Let every script run, in as many ways as touch other keys."""
    await stubs.account("acme", reserves_per_minute=1_000, submissions_per_minute=1)
    await stubs.account("acme/alice", reserves_per_minute=1_000)
    await stubs.set_budget("platform", 10_000)
    await stubs.set_budget("acme", 1_000)
    await stubs.set_budget("acme/alice", 100, window="MONTH")
    await stubs.set_budget("acme/alice", 3, unit="RESERVATIONS", window="TOTAL")
    await stubs.grant("acme", "CREDITS", 30, every="DAY")
    doomed = await stubs.grant("acme/alice", "CREDITS", 30)
    both = {"USD": 10, "CREDITS": 40}

    await stubs.reserve("acme/alice", both, mode="RESERVE_MODE_CHECK_ONLY")
    await refused(stubs.reserve("acme/alice", {"USD": 101}, {"USD": 102}))
    partly = await spend(stubs, "acme/alice", {"USD": 200}, mode="RESERVE_MODE_BEST_EFFORT")
    await stubs.release(partly)
    held = await spend(stubs, "acme/alice", both)
    await stubs.extend(held, {"USD": 5, "CREDITS": 15}, ttl=600)
    await refused(stubs.extend(held, {"USD": 1_000}))
    await stubs.commit(held, {"USD": 4, "CREDITS": 50}, final=False)
    await stubs.commit(held, {"USD": 20, "CREDITS": 20})
    await stubs.refund(held, {"CREDITS": 45})
    await stubs.refund(held)
    await stubs.adjust("acme/alice", {"USD": 3, "CREDITS": 2})
    await stubs.adjust("acme/alice", {"USD": -1})
    await stubs.void_grant(doomed.grant_id)
    # Three that expire are in the way of the next: it reclaims them. The last is swept.
    late = [await spend(stubs, "acme/alice", {"USD": 1}, ttl=1) for _ in range(3)]
    core.hot.clock.offset_ms += 2_000
    swept = await spend(stubs, "acme/alice", {"USD": 1}, ttl=1)
    core.hot.clock.offset_ms += 2_000
    assert await core.sweeper.expire_due() == 1
    assert (await stubs.get(swept)).state == (await stubs.get(late[0])).state
    await stubs.commit(late[0], {"USD": 1})
    await stubs.release(late[1])
    await stubs.commit(late[1], {"USD": 1}, force=True)
    await Generations(stubs).submit()
    await refused(Generations(stubs).submit())
    assert await stubs.differences() == []


async def forget_and_read(core, stubs, held):
    """Let everything be loaded and opened anew."""
    await core.hot.redis.delete(core.hot.keys("acme").reservation(held))
    await stubs.release(held)
    await core.hot.redis.flushall()
    await stubs.balance("acme")
    await stubs.reserve("acme", {"USD": 1})


async def test_every_script_declares_every_key(cluster_authority, monitor, cluster_url):
    running, stubs = cluster_authority
    core = running.core
    await do_everything(core, stubs)
    await forget_and_read(core, stubs, await spend(stubs, "acme", {"USD": 1}))

    runs = await monitor.runs()
    names = {
        sha: script
        for epoch in range(1, core.hot.epoch + 1)
        for script, sha in script_set(epoch).hashes.items()
    }
    assert {names[run.sha] for run in runs} == set(Script)
    undeclared = await monitor.undeclared(runs)
    assert {names[sha]: keys for sha, keys in undeclared.items()} == {}
    touched = {kind_of(key) for run in runs for key in await monitor.touched(run)}
    assert touched == {
        *("meta", "outbox", "expiries", "answer", "reservation", "window", "rate"),
        *("admitted", "submissions"),
    }
    assert await stubs.differences() == []


async def test_a_key_that_is_not_declared_is_found(cluster_authority, monitor):
    redis = cluster_authority[0].core.hot.redis
    script = "redis.call('SET', KEYS[1], 1) redis.call('TIME') return redis.call('GET', ARGV[1])"
    await redis.eval(script, 1, 'pm:{acme}: "1"\n', "pm:{acme}:ü")
    await redis.eval(script, 2, "pm:{acme}:1", "pm:{acme}:2", "pm:{acme}:2")
    assert await monitor.undeclared(await monitor.runs()) == {script: {"pm:{acme}:ü"}}


async def test_keys_of_two_tenants_are_refused(cluster_authority):
    core, stubs = cluster_authority[0].core, cluster_authority[1]
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    keys = [TenantKeys(tenant, core.hot.epoch).meta for tenant in ("acme", "globex")]
    with pytest.raises(ResponseError, match="same slot"):
        await core.hot.call(Script.READ, keys, [0])
