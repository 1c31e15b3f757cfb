"""A changed policy binds the next Reserve on every process, whatever was lost on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authority.domain.errors import Unavailable
from authority.domain.money import Unit
from authority.domain.policies import KnownTerms
from authority.hotstate.scripts import Script
from authority.recovery import sweep
from authority.recovery.outbox import Outbox
from authority.recovery.sweep import Sweeper
from authority.usecases.policies import Policies
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1.resources_pb2 import Budget
from calls import send
from refusals import refused


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    await stubs.reserve("acme", {"USD": 1})
    return stubs


async def set_limit(stubs, limit):
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="acme", budget="usd-day", limit=limit)
    )
    request.update_mask.paths.append("limit")
    await send(stubs, request)


async def lose_the_news(core, monkeypatch, stubs, limit):
    """Change a limit while the hot store does not answer, a long time ago."""

    async def away(tenant, version):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(core.hot, "raise_policy_version", away)
        assert (await refused(set_limit(stubs, limit))).code == "UNAVAILABLE"
    async with core.database.connection() as connection:
        await connection.execute("UPDATE tenant SET policy_time = now() - interval '1 hour'")


async def test_a_change_that_the_hot_store_missed_is_caught_up_with(acme, core, monkeypatch):
    held = (await acme.reserve("acme", {"USD": 1})).reservation.reservation_id
    await lose_the_news(core, monkeypatch, acme, 10)
    core.context.policies.forget("acme")
    await acme.reserve("acme", {"USD": 8})
    assert (await refused(acme.reserve("acme", {"USD": 1}))).code == "RESOURCE_EXHAUSTED"
    await lose_the_news(core, monkeypatch, acme, 20)
    core.context.policies.forget("acme")
    await acme.commit(held, {"USD": 5})


async def test_what_was_not_changed_makes_nothing_stale(acme, core):
    before = await core.ledger.policy("acme")
    await refused(acme.account("acme"))
    await refused(acme.set_budget("acme", 5))
    assert (await core.ledger.policy("acme")).version == before.version


async def test_a_change_binds_though_the_scripts_were_lost(acme, core, start_authority):
    running, other = await start_authority()
    await other.reserve("acme", {"USD": 1})  # its policy is warm
    warm = await running.core.context.policies.of("acme")
    await core.hot.redis.script_flush()
    await set_limit(acme, 10)
    assert await running.core.context.policies.of("acme") is warm
    assert (await refused(other.reserve("acme", {"USD": 9}))).code == "RESOURCE_EXHAUSTED"


async def test_scripts_that_were_lost_are_loaded_again(acme, core):
    held = (await acme.reserve("acme", {"USD": 1})).reservation.reservation_id
    epoch = core.hot.epoch
    await core.hot.redis.script_flush()
    await acme.commit(held, {"USD": 1})
    assert core.hot.epoch == epoch
    assert (await acme.balance("acme"))["acme", "usd-day"] == (1, 1, 0, 998)
    for script in Script:
        assert await core.hot.redis.script_exists(core.hot._scripts.hashes[script]) == [True]


async def test_the_sweeper_tells_the_hot_store_what_it_missed(
    acme, core, start_authority, monkeypatch
):
    _, other = await start_authority()
    await other.reserve("acme", {"USD": 1})  # its policy is warm

    async def away(tenant, version):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(core.hot, "raise_policy_version", away)
        assert (await refused(set_limit(acme, 10))).code == "UNAVAILABLE"
    await core.sweeper.sweep()
    assert (await refused(other.reserve("acme", {"USD": 9}))).code == "RESOURCE_EXHAUSTED"


async def test_a_window_that_is_loaded_leaves_newer_counts_alone(acme, core, monkeypatch):
    """The ledger has not heard yet of what the hot store holds."""
    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(core.context.journal, "append_later", lambda *item: kept.append(item))
        await acme.reserve("acme", {"USD": 100}, durability=budget.DURABILITY_HOT)
    await acme.set_budget("acme", 1_000, window="TOTAL")
    await acme.reserve("acme", {"USD": 5})
    balance = await acme.balance("acme")
    assert balance["acme", "usd-day"] == (106, 0, 0, 894)
    assert balance["acme", "usd-total"] == (5, 0, 0, 995)


class Told:
    """The hot store, and what a sweeper tells it."""

    def __init__(self, hot):
        self._hot = hot
        self.news = []
        self.is_open = True

    def __getattr__(self, name):
        return getattr(self._hot, name)

    async def raise_policy_version(self, tenant, version):
        self.news.append((tenant, version))
        return await self._hot.raise_policy_version(tenant, version) and self.is_open


class Looked(Outbox):
    """Notes whose outboxes are looked at."""

    def __init__(self, hot):
        super().__init__(hot)
        self.looked_at = []

    async def not_empty(self, tenants):
        self.looked_at.append(list(tenants))
        return await super().not_empty(tenants)


@pytest.fixture
def told(core):
    return Told(core.hot)


@pytest.fixture
def outbox(core):
    return Looked(core.hot)


@pytest.fixture
def sweeper(core, told, outbox):
    """A sweeper beside the authority's own."""
    return Sweeper(
        context=core.context,
        locator=core.locator,
        hot=told,
        ledger=core.ledger,
        database=core.database,
        journal=core.journal,
        outbox=outbox,
        epochs=core.epochs,
    )


async def test_the_hot_store_is_told_of_a_change_once(acme, core, sweeper, told):
    await sweeper.sweep()
    told.news.clear()
    await set_limit(acme, 5)
    version = (await core.ledger.policy("acme")).version
    for _ in range(3):
        await sweeper.sweep()
    assert told.news == [("acme", version)]


async def test_a_tenant_that_is_not_open_is_told_again(acme, sweeper, told):
    told.is_open = False
    for _ in range(2):
        await sweeper.sweep()
    told.is_open = True
    for _ in range(2):
        await sweeper.sweep()
    assert len(told.news) == 3


async def test_a_sweep_looks_at_some_outboxes_and_the_next_at_others(
    stubs, sweeper, outbox, monkeypatch
):
    for tenant in ("a1", "b2", "c3"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 10)
        await stubs.reserve(tenant, {"USD": 1})
    monkeypatch.setattr(sweep, "_DRAINED_LEAST", 2)
    for _ in range(3):
        await sweeper.drain()
    assert outbox.looked_at == [["a1", "b2"], ["c3"], ["a1", "b2"]]


async def test_the_tenants_not_asked_for_the_longest_are_forgotten(stubs, core, monkeypatch):
    for tenant in ("a1", "b2", "c3"):
        await stubs.account(tenant)
        await stubs.account(f"{tenant}/team")
    reads = []
    policy = core.ledger.policy

    async def noted(tenant):
        reads.append(tenant)
        return await policy(tenant)

    monkeypatch.setattr(core.ledger, "policy", noted)
    policies = Policies(core.ledger, accounts_max=4)
    for account in ("a1", "b2/team", "a1/team", "c3", "a1", "c3/team"):
        assert account in (await policies.of(account)).accounts
    assert reads == ["a1", "b2", "c3"]
    await policies.of("b2")
    assert reads == ["a1", "b2", "c3", "b2"]


async def test_terms_are_worked_out_once_for_each_policy(acme, core, monkeypatch):
    await acme.account("acme/team")
    units, now_ms = frozenset([Unit.USD]), core.context.clock.now_ms()
    known = KnownTerms(terms_max=1)
    policy = await core.ledger.policy("acme")
    first = known.of(policy, "acme", units, now_ms)
    assert known.of(policy, "acme", units, now_ms) is first
    assert known.of(policy, "acme", units, now_ms + 900_000) is not first, "a quarter later"
    await set_limit(acme, 5)
    changed = await core.ledger.policy("acme")
    assert known.of(changed, "acme", units, now_ms).windows[0].budget.limit == 5
    alike = replace(changed, budgets={})
    assert known.of(alike, "acme", units, now_ms).windows == (), "of one version, and not the same"
    at_first = known.of(changed, "acme", units, now_ms)
    known.of(changed, "acme/team", units, now_ms)
    assert known.of(changed, "acme", units, now_ms) is not at_first, "there is room for one"


async def test_a_policy_is_read_a_few_rows_at_a_time(acme, core, monkeypatch):
    monkeypatch.setattr("authority.ledger.store._ROWS_AT_ONCE", 2)
    for number in range(5):
        await acme.account(f"acme/u{number}")
        await acme.set_budget(f"acme/u{number}", 10 + number)
    policy = await core.ledger.policy("acme")
    assert [name for name in policy.accounts if "/" in name] == [f"acme/u{n}" for n in range(5)]
    assert [policy.budgets[f"acme/u{n}"][0].limit for n in range(5)] == [10, 11, 12, 13, 14]
