"""Leases of the platform's budgets: given and taken, and what holds when something dies between."""

from __future__ import annotations

import pytest

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.leases import HotVerdict, Lease, Need, grown
from authority.domain.money import AMOUNT_MAX, Unit
from authority.hotstate.leases import HotStoreLeases
from authority.ledger.leases import PostgresLeases
from authority.recovery import leases as keeping
from leasing import TENANTS, change_limit, make_tenants, standing, try_reserve
from support import eventually


@pytest.fixture(autouse=True)
def unattended(monkeypatch):
    """Keep the keeper out: a test lets it work when it says so."""
    monkeypatch.setattr(keeping, "TICK_SECONDS", 3_600)


@pytest.fixture
async def world(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 1_000)


@pytest.fixture
def ledger(core):
    return PostgresLeases(core.database)


@pytest.fixture
def hot(core):
    return HotStoreLeases(core.hot)


async def lease_of(ledger, tenant):
    (ref,) = await ledger.leased_windows(tenant)
    return ref, (await ledger.leases([ref]))[ref]


async def idle_lease(stubs, tenant="acme", amount=600):
    """Let a tenant have a lease of which it uses nothing."""
    held = (await stubs.reserve(tenant, {"USD": amount})).reservation
    await stubs.release(held.reservation_id)


class TestGrown:
    REF = WindowRef(7, 0, Unit.USD)

    def grow(self, limit, others, now, *needs, partial=False):
        asked = [Need(self.REF, *need) for need in needs]
        return grown(limit, others, now, asked, partial=partial)

    def test_what_is_needed_and_something_ahead(self):
        assert self.grow(6_400, 0, 0, (0, 10)) == 110
        assert self.grow(100, 0, 0, (0, 10)) == 11

    def test_never_more_than_there_is(self):
        assert self.grow(100, 90, 0, (0, 10)) == 10
        assert self.grow(100, 91, 0, (0, 10)) is None
        assert self.grow(100, 200, 5, (0, 10)) is None
        assert self.grow(100, 60, 0, (0, 30), (0, 20)) == 40

    def test_part_of_it_helps_who_takes_part(self):
        assert self.grow(100, 93, 0, (0, 10), partial=True) == 7

    def test_what_is_leased_already_stays(self):
        assert self.grow(100, 0, 80, (10, 5)) == 80
        assert self.grow(AMOUNT_MAX, 0, 0, (5, AMOUNT_MAX)) is None


async def test_it_is_given_back_when_nobody_uses_it(stubs, core, world, monkeypatch):
    monkeypatch.setattr(keeping, "IDLE_SECONDS", 0)
    await idle_lease(stubs)
    held = await try_reserve(stubs, "acme", 10)
    assert (await standing(core)).leased["acme"] >= 600
    # What is used has changed since it looked last, and then not any more.
    await core.keeper.keep()
    await core.keeper.keep()
    assert (await standing(core)).leased["acme"] == 10
    await stubs.commit(held.reservation_id, {"USD": 10})
    assert await stubs.differences() == []


async def test_it_is_not_given_back_so_soon(stubs, core, world):
    await idle_lease(stubs)
    for _ in range(3):
        await core.keeper.keep()
    assert (await standing(core)).leased["acme"] >= 600


async def test_more_is_leased_before_it_is_needed(stubs, core, world):
    await stubs.reserve("acme", {"USD": 10})
    await core.keeper.keep()
    await stubs.reserve("acme", {"USD": 5})
    await core.keeper.keep()
    found = await standing(core)
    assert found.leased["acme"] - found.used["acme"] >= 5 * 3


async def test_thresholds_of_the_platform_are_told_once(stubs, core, world):
    for tenant, amount in zip(TENANTS, (500, 270, 40), strict=True):
        held = (await stubs.reserve(tenant, {"USD": amount})).reservation
        await stubs.commit(held.reservation_id, {"USD": amount})
    for _ in range(3):
        await core.keeper.keep()
    rows = await core.database.rows(
        "SELECT tenant, account, dedup_key, details FROM alert ORDER BY dedup_key", {}
    )
    assert [(row["tenant"], row["account"]) for row in rows] == [("platform", "platform")] * 2
    assert [row["dedup_key"].rpartition(":")[2] for row in rows] == ["75", "80"]
    assert rows[0]["details"]["net"] == 810


async def test_an_older_word_changes_nothing(stubs, core, world, ledger, hot):
    await idle_lease(stubs)
    ref, before = await lease_of(ledger, "acme")
    assert await core.context.leases.shrink("acme", ref) == before.amount
    # What was said before arrives late.
    late = await hot.set_lease("acme", ref, before.amount, before)
    assert late.verdict is HotVerdict.SUPERSEDED
    assert (await hot.read("acme", [ref]))[ref].amount == 0
    # Nor when what was said since is lost.
    key = core.hot.keys("acme").lease(ref)
    known = await core.hot.redis.getdel(key)
    late = await hot.set_lease("acme", ref, before.amount, before)
    assert late.verdict is HotVerdict.SUPERSEDED
    await core.hot.redis.set(key, known)
    # And what was read of the ledger before is not loaded over it.
    await core.hot.load("acme", None, {}, core.hot.epoch, {ref: before})
    assert (await hot.read("acme", [ref]))[ref].amount == 0
    assert await try_reserve(stubs, "globex", 1_000)
    assert await try_reserve(stubs, "acme", 1) is None


async def test_what_was_leased_while_the_limit_was_lowered_is_taken_back(
    stubs, core, world, ledger, hot
):
    await idle_lease(stubs)
    ref, _ = await lease_of(ledger, "acme")
    await change_limit(stubs, 100)
    await core.keeper.keep()
    # By the limit as it was, between the beginning of the change and its end.
    (row,) = await core.database.rows(
        "UPDATE platform_lease SET amount = 600, version = version + 1, change_time ="
        " (SELECT policy_time FROM tenant WHERE tenant = 'platform') + interval '1 ms'"
        " RETURNING amount, version",
        {},
    )
    given = Lease(row["amount"], row["version"])
    assert (await hot.set_lease("acme", ref, 600, given)).verdict is HotVerdict.DONE
    await core.keeper.keep()
    assert (await standing(core)).leased["acme"] == 0
    assert await try_reserve(stubs, "acme", 200) is None
    assert await try_reserve(stubs, "acme", 100)


async def test_what_is_used_is_never_taken_back(stubs, core, world, ledger):
    await stubs.reserve("acme", {"USD": 400})
    ref, lease = await lease_of(ledger, "acme")
    freed = await core.context.leases.shrink("acme", ref)
    assert (await lease_of(ledger, "acme"))[1].amount == 400 == lease.amount - freed


async def test_dying_before_the_slot_is_told_of_more(stubs, core, world, monkeypatch):
    """The ledger counts a lease that its slot never heard of, until the slot asks again."""

    async def die(*_):
        raise Unavailable("dead")

    await stubs.reserve("acme", {"USD": 1})
    (ref,) = await PostgresLeases(core.database).leased_windows("acme")
    with monkeypatch.context() as patched:
        patched.setattr(HotStoreLeases, "set_lease", die)
        with pytest.raises(Unavailable):
            await core.context.leases.foresee("acme", Need(ref, 1, 500))
    found = await standing(core)
    assert found.leased["acme"] >= 500
    assert await try_reserve(stubs, "acme", 600)
    assert await try_reserve(stubs, "globex", 399)
    assert sum((await standing(core)).leased.values()) <= 1_000


async def test_dying_before_the_ledger_is_told_of_less(stubs, core, world, ledger, monkeypatch):
    """The slot has given back what the ledger still counts: nobody has it until it is asked for."""
    await idle_lease(stubs)
    ref, before = await lease_of(ledger, "acme")

    async def die(*_):
        raise Unavailable("dead")

    with monkeypatch.context() as patched:
        patched.setattr(PostgresLeases, "end_shrink", die)
        with pytest.raises(Unavailable):
            await core.context.leases.shrink("acme", ref)
    assert (await lease_of(ledger, "acme"))[1].amount == before.amount
    assert await try_reserve(stubs, "globex", 1_000)
    assert await try_reserve(stubs, "acme", 1) is None
    assert await stubs.differences() == []


async def test_a_lease_lowered_in_a_lost_store_stays_counted(stubs, core, world, ledger, hot):
    await idle_lease(stubs)
    ref, _ = await lease_of(ledger, "acme")
    counted = await ledger.begin_shrink(ref, 0)
    lowered = await hot.set_lease("acme", ref, 0, counted)
    # The store is lost, and the next one is told the lease as the ledger has it.
    await core.hot.redis.flushdb()
    assert await try_reserve(stubs, "acme", 300)
    assert not await ledger.end_shrink(ref, Lease(0, counted.version), lowered.epoch)
    assert await try_reserve(stubs, "globex", 701) is None
    assert await try_reserve(stubs, "globex", 700)


async def test_the_audit_finds_a_slot_with_more_than_its_lease(stubs, core, world, ledger):
    await idle_lease(stubs)
    ref, lease = await lease_of(ledger, "acme")
    key = core.hot.keys("acme").lease(ref)
    await core.hot.redis.set(key, f"{lease.amount + 1} {lease.version}")
    (found,) = await stubs.differences("acme")
    assert (found.place, found.field, found.found) == ("lease", "amount", str(lease.amount + 1))
    await core.hot.redis.set(key, f"{lease.amount} {lease.version}")
    assert await stubs.differences() == []


async def test_the_audit_finds_more_leased_than_the_limit(stubs, core, world, ledger):
    await idle_lease(stubs)
    ref, lease = await lease_of(ledger, "acme")
    await core.database.rows("UPDATE platform_lease SET amount = 1001 RETURNING amount", {})
    await core.hot.redis.set(core.hot.keys("acme").lease(ref), f"1001 {lease.version}")
    (found,) = await stubs.differences()
    assert (found.place, found.field, found.found) == ("lease", "leased", "1001")


async def test_a_lowered_limit_that_a_store_missed_is_seen_to_later(
    stubs, core, world, monkeypatch
):
    await idle_lease(stubs)

    async def missed(*_):
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(type(core.context.leases), "shrink", missed)
        await change_limit(stubs, 100)
    assert (await standing(core)).leased["acme"] >= 600
    await core.keeper.keep()
    assert (await standing(core)).leased["acme"] == 0
    assert await try_reserve(stubs, "globex", 100)


async def test_who_holds_a_lease_loses_it_only_once_it_is_idle(stubs, world):
    """Two tenants that take turns at the last of it both get through."""
    for _ in range(10):
        for tenant in TENANTS:
            held = await eventually(lambda tenant=tenant: try_reserve(stubs, tenant, 1_000))
            await stubs.release(held.reservation_id)


async def test_installations_without_platform_budgets_lease_nothing(stubs, core):
    await make_tenants(stubs)
    await stubs.reserve("acme", {"USD": 10})
    await core.keeper.keep()
    assert await standing(core) == ({}, {})
    policy = await core.context.policies.of("acme")
    assert policy.shares == ()
