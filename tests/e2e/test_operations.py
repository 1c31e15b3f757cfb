"""What each operation does to a reservation, its budgets and the books."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from authorities import new_key
from authority.usecases.expire import expire
from authority.usecases.locate import Locator
from authority.v1 import admin_service_pb2, errors_pb2, resources_pb2
from refusals import refused

DAY = ("acme", "usd-day")


@pytest.fixture
async def acme(stubs):
    """An account that may spend a dollar a day."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return stubs


async def hold(stubs, amount=400_000, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


async def pass_time(stubs, core, seconds):
    """Move the clock."""
    core.hot.clock.offset_ms += int(seconds * 1000)


class TestOptions:
    async def test_the_first_that_fits_is_held(self, acme):
        answer = await acme.reserve("acme", {"USD": 1_000_001}, {"USD": 600_000}, {"USD": 1})
        assert answer.reservation.option_index == 1
        assert (await acme.balance("acme"))[DAY] == (600_000, 0, 0, 400_000)

    async def test_a_soft_cap_denies_all_but_the_last(self, acme):
        await acme.set_budget("acme", 100, enforcement="DOWNGRADE", name="soft", window="MONTH")
        answer = await acme.reserve("acme", {"USD": 80_000}, {"USD": 40_000})
        assert answer.reservation.option_index == 1
        only = await acme.reserve("acme", {"USD": 80_000})
        assert only.reservation.option_index == 0

    async def test_a_soft_cap_spares_every_way_to_pay_for_the_lowest_tier(self, acme):
        await acme.set_budget("acme", 100, enforcement="DOWNGRADE", name="soft", window="MONTH")
        await acme.grant("acme", "IMAGES", 1)
        await acme.grant("acme", "CREDITS", 10)
        ways = [
            {"USD": 80_000, "IMAGES": 1},
            {"USD": 80_000, "CREDITS": 4},
            {"USD": 40_000, "IMAGES": 1},
            {"USD": 40_000, "CREDITS": 2},
        ]
        names = ["premium", "premium", "standard", "standard"]
        free = await acme.reserve("acme", *ways, names=names)
        assert free.reservation.option_index == 2
        denial = free.passed_over
        assert denial.account == "acme"
        assert denial.reason == errors_pb2.DENIAL_REASON_BUDGET_EXHAUSTED
        (limiting,) = denial.limiting_budgets
        assert (limiting.budget, limiting.requested) == ("soft", 80_000)
        key = new_key()
        paid = await acme.reserve("acme", *ways, names=names, key=key)
        assert paid.reservation.option_index == 3, "the free image is held"
        assert paid.passed_over.limiting_budgets[0].budget == "soft"
        again = await acme.reserve("acme", *ways, names=names, key=key)
        assert again.replayed
        assert again.passed_over == paid.passed_over
        refusal = await refused(acme.reserve("acme", *ways[:3], names=names[:3]))
        assert (
            refusal.detail(errors_pb2.Denial).grant_shortages[0].unit == resources_pb2.UNIT_IMAGES
        )

    async def test_another_way_to_pay_is_no_lesser_tier(self, acme):
        await acme.grant("acme", "IMAGES", 1)
        ways = [{"USD": 1, "IMAGES": 2}, {"USD": 1}]
        paid = await acme.reserve("acme", *ways, names=["premium", "premium"])
        assert paid.reservation.option_index == 1
        assert not paid.HasField("passed_over")
        lesser = await acme.reserve("acme", *ways, names=["premium", "standard"])
        assert lesser.passed_over.reason == errors_pb2.DENIAL_REASON_INSUFFICIENT_GRANTS

    async def test_a_notifying_budget_never_denies(self, acme):
        await acme.set_budget("acme", 0, enforcement="NOTIFY", name="watch")
        await hold(acme)
        assert (await acme.balance("acme"))["acme", "watch"] == (400_000, 0, 0, -400_000)

    async def test_all_legs_or_none(self, acme):
        await acme.set_budget("acme", 2, unit="IMAGES")
        await refused(acme.reserve("acme", {"USD": 1, "IMAGES": 3}))
        assert (await acme.balance("acme"))[DAY][0] == 0
        await acme.reserve("acme", {"USD": 1, "IMAGES": 2})
        assert (await acme.balance("acme"))["acme", "images-day"] == (2, 0, 0, 0)


class TestDenials:
    async def test_every_limit_is_named_the_tightest_first(self, acme):
        await acme.account("acme/alice")
        await acme.set_budget("acme/alice", 100_000, window="TOTAL")
        await acme.reserve("acme", {"USD": 900_000}, ttl=60)
        refusal = await refused(acme.reserve("acme/alice", {"USD": 200_000}))
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DENIED")
        denial = refusal.detail(errors_pb2.Denial)
        rows = [
            (row.account, row.budget, row.short_by, errors_pb2.DenialReason.Name(row.reason))
            for row in denial.limiting_budgets
        ]
        assert rows == [
            ("acme/alice", "usd-total", 100_000, "DENIAL_REASON_BUDGET_EXHAUSTED"),
            ("acme", "usd-day", 100_000, "DENIAL_REASON_BUDGET_BUSY"),
        ]
        assert denial.limiting_budget_count == 2
        assert len(refusal.detail(error_details_pb2.QuotaFailure).violations) == 2
        # The total never ends, so time does not help.
        assert refusal.detail(error_details_pb2.RetryInfo) is None

    async def test_busy_says_when_a_hold_may_end(self, acme):
        await acme.reserve("acme", {"USD": 1_000_000}, ttl=60)
        refusal = await refused(acme.reserve("acme", {"USD": 1}))
        assert refusal.detail(errors_pb2.Denial).reason == errors_pb2.DENIAL_REASON_BUDGET_BUSY
        retry = refusal.detail(error_details_pb2.RetryInfo).retry_delay
        assert 50 < retry.seconds <= 60

    async def test_money_that_no_budget_meters(self, acme):
        refusal = await refused(acme.reserve("acme", {"CREDITS": 1}))
        assert refusal.detail(errors_pb2.Denial).reason == errors_pb2.DENIAL_REASON_NO_BUDGET
        await acme.reserve("acme", {"USD": 1, "VIDEOS": 5})  # a count is only recorded

    @pytest.mark.parametrize("state", ["FROZEN", "CLOSED"])
    async def test_an_account_that_may_not(self, acme, state):
        held = await hold(acme)
        await acme.account("acme/alice")
        request = admin_service_pb2.UpdateAccountRequest(
            account=resources_pb2.Account(account="acme", state=f"ACCOUNT_STATE_{state}")
        )
        request.update_mask.paths.append("state")
        await acme.admin.UpdateAccount(request, metadata=acme.metadata)
        refusal = await refused(acme.reserve("acme/alice", {"USD": 1}))
        assert refusal.metadata["denial_reason"] == f"ACCOUNT_{state}"
        await acme.commit(held, {"USD": 1})  # what is open settles as usual


class TestIdempotency:
    async def test_each_verb_has_one_effect(self, acme):
        keys = [new_key() for _ in range(4)]
        for replayed in (False, True):
            held = await acme.reserve("acme", {"USD": 400_000}, key=keys[0])
            name = held.reservation.reservation_id
            paid = await acme.commit(name, {"USD": 300_000}, key=keys[1])
            back = await acme.refund(name, {"USD": 100_000}, key=keys[2])
            assert [answer.replayed for answer in (held, paid, back)] == [replayed] * 3
        assert (await acme.balance("acme"))[DAY] == (0, 300_000, 100_000, 800_000)
        other = await hold(acme)
        assert not (await acme.release(other, key=keys[3])).replayed
        assert (await acme.release(other, key=keys[3])).replayed
        assert await acme.differences() == []

    async def test_a_denial_is_replayed_even_when_it_would_fit_now(self, acme):
        key, held = new_key(), await hold(acme, 1_000_000)
        await refused(acme.reserve("acme", {"USD": 1}, key=key))
        await acme.release(held)
        refusal = await refused(acme.reserve("acme", {"USD": 1}, key=key))
        assert refusal.metadata["replayed"] == "true"
        await acme.reserve("acme", {"USD": 1})

    @pytest.mark.parametrize("key", ["my key", new_key()], ids=["any text", "UUIDv7"])
    async def test_another_request_names_what_differs(self, acme, key):
        await acme.reserve("acme", {"USD": 1}, key=key)
        refusal = await refused(acme.reserve("acme", {"USD": 2}, key=key, ttl=5))
        assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
        assert refusal.metadata["fields"] == "options, ttl_ms"

    @pytest.mark.parametrize("key", ["my key", "00000000-0000-7000-8000-000000000000"])
    async def test_an_old_key_is_known_for_ever(self, acme, core, key):
        held = await acme.reserve("acme", {"USD": 5}, key=key)
        await core.hot.redis.delete(core.hot.keys("acme").answer(key))
        again = await acme.reserve("acme", {"USD": 5}, key=key)
        assert again.replayed
        assert again.reservation == held.reservation


class TestCommit:
    @pytest.mark.parametrize(
        ("policy", "actual", "charged"),
        [
            ("AVAILABLE", 300_000, 300_000),
            ("AVAILABLE", 400_000, 400_000),
            ("AVAILABLE", 900_000, 900_000),
            ("AVAILABLE", 1_500_000, 1_000_000),
            ("CAP", 900_000, 400_000),
            ("DEBT", 1_500_000, 1_500_000),
            ("CAP", 0, 0),
        ],
    )
    async def test_what_is_charged_and_what_absorbed(self, stubs, policy, actual, charged):
        await stubs.account("acme", overage_policy=f"OVERAGE_POLICY_{policy}")
        await stubs.set_budget("acme", 1_000_000)
        paid = await stubs.commit(await hold(stubs), {"USD": actual})
        (leg,) = paid.reservation.legs
        assert (leg.actual, leg.charged, leg.absorbed) == (actual, charged, actual - charged)
        assert (await stubs.balance("acme"))[DAY] == (0, charged, 0, 1_000_000 - charged)
        assert await stubs.differences() == []

    async def test_a_cost_in_a_unit_that_was_not_held_is_absorbed(self, acme):
        paid = await acme.commit(await hold(acme), {"USD": 1, "CREDITS": 5})
        legs = {leg.unit: (leg.charged, leg.absorbed) for leg in paid.reservation.legs}
        assert legs[resources_pb2.UNIT_CREDITS] == (0, 5)

    async def test_twice_under_two_keys(self, acme):
        held, key = await hold(acme), new_key()
        await acme.commit(held, {"USD": 1}, key=key)
        refusal = await refused(acme.commit(held, {"USD": 1}))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "ALREADY_COMMITTED")
        assert refusal.metadata["idempotency_key"] == key

    async def test_after_release(self, acme):
        held = await hold(acme)
        await acme.release(held)
        refusal = await refused(acme.commit(held, {"USD": 1}))
        assert (refusal.reason, refusal.metadata["state"]) == ("RESERVATION_STATE", "RELEASED")

    @pytest.mark.parametrize("swept", [True, False])
    async def test_late(self, acme, core, swept):
        held = await hold(acme, ttl=10)
        await pass_time(acme, core, 11)
        if swept:
            assert await core.sweeper.expire_due() == 1
        paid = await acme.commit(held, {"USD": 300_000})
        assert paid.reservation.late
        assert (await acme.balance("acme"))[DAY] == (0, 300_000, 0, 700_000)
        assert await acme.differences() == []


class TestRefundAndRelease:
    async def test_many_refunds_until_all_is_back(self, acme):
        held = await hold(acme)
        await acme.commit(held, {"USD": 300_000})
        await acme.refund(held, {"USD": 100_000})
        refusal = await refused(acme.refund(held, {"USD": 200_001}))
        assert (refusal.reason, refusal.metadata["refundable"]) == (
            "REFUND_EXCEEDS_CHARGE",
            "200000",
        )
        await acme.refund(held)
        assert (await acme.balance("acme"))[DAY] == (0, 300_000, 300_000, 1_000_000)
        assert await acme.differences() == []

    async def test_a_refund_of_a_hold_releases_it(self, acme):
        back = await acme.refund(await hold(acme))
        assert back.reservation.state == resources_pb2.RESERVATION_STATE_RELEASED
        assert (await acme.balance("acme"))[DAY] == (0, 0, 0, 1_000_000)

    async def test_a_release_of_what_is_settled(self, acme):
        held = await hold(acme)
        await acme.release(held)
        again = await acme.release(held)
        assert again.reservation.state == resources_pb2.RESERVATION_STATE_RELEASED
        other = await hold(acme)
        await acme.commit(other, {"USD": 1})
        assert (await refused(acme.release(other))).metadata["state"] == "COMMITTED"


class TestTime:
    async def test_the_sweeper_expires_what_is_due_and_nothing_else(self, acme, core):
        due, not_due = await hold(acme, ttl=10), await hold(acme, ttl=100)
        await pass_time(acme, core, 10)
        assert await core.sweeper.expire_due() == 1
        assert (await acme.get(due)).state == resources_pb2.RESERVATION_STATE_EXPIRED
        assert (await acme.get(not_due)).state == resources_pb2.RESERVATION_STATE_HELD
        assert (await acme.balance("acme"))[DAY] == (400_000, 0, 0, 600_000)
        assert await acme.differences() == []

    async def test_who_comes_too_early_expires_nothing(self, acme, core):
        held = await hold(acme, ttl=10)
        assert not await expire(core.context, Locator(), held)
        assert (await acme.get(held)).state == resources_pb2.RESERVATION_STATE_HELD
        await pass_time(acme, core, 10)
        assert await expire(core.context, Locator(), held)

    async def test_a_reserve_reclaims_what_has_expired_before_it_denies(self, acme, core):
        for _ in range(20):
            await hold(acme, 50_000, ttl=10)
        await pass_time(acme, core, 11)
        await acme.reserve("acme", {"USD": 1_000_000})
        assert (await acme.balance("acme"))[DAY] == (1_000_000, 0, 0, 0)

    async def test_a_new_day_begins_at_zero_and_old_charges_stay_where_they_were(self, acme, core):
        held = await hold(acme, 1_000_000, ttl=24 * 3600)
        await pass_time(acme, core, 24 * 3600 - 60)
        fresh = await hold(acme, 700_000)
        await acme.commit(held, {"USD": 900_000})
        await acme.refund(held, {"USD": 100_000})
        assert (await acme.balance("acme"))[DAY] == (700_000, 0, 0, 300_000)
        await acme.release(fresh)
        assert await acme.differences() == []


class TestPolicy:
    async def test_a_changed_limit_binds_the_next_reserve_everywhere(self, acme, start_authority):
        _, other = await start_authority()
        await other.reserve("acme", {"USD": 1})  # its policy is warm
        request = admin_service_pb2.UpdateBudgetRequest(
            budget=resources_pb2.Budget(account="acme", budget="usd-day", limit=10)
        )
        request.update_mask.paths.append("limit")
        await acme.admin.UpdateBudget(request, metadata=acme.metadata)
        await refused(other.reserve("acme", {"USD": 10}))
        await other.reserve("acme", {"USD": 9})

    async def test_a_changed_limit_binds_the_next_commit_everywhere(self, acme, start_authority):
        _, other = await start_authority()
        held = await hold(other)  # its policy is warm
        request = admin_service_pb2.UpdateBudgetRequest(
            budget=resources_pb2.Budget(account="acme", budget="usd-day", limit=500_000)
        )
        request.update_mask.paths.append("limit")
        await acme.admin.UpdateBudget(request, metadata=acme.metadata)
        paid = await other.commit(held, {"USD": 900_000})
        assert paid.reservation.legs[0].charged == 500_000

    async def test_a_reservation_is_read_from_the_ledger_when_it_is_no_longer_hot(self, acme, core):
        held = await hold(acme)
        before = await acme.get(held)
        keys = core.hot.keys("acme")
        await core.hot.redis.delete(keys.reservation(held))
        assert await acme.get(held) == before
        windows = [key async for key in core.hot.redis.scan_iter("*:window:*")]
        await core.hot.redis.delete(*windows)
        await acme.commit(held, {"USD": 300_000})
        assert (await acme.balance("acme"))[DAY] == (0, 300_000, 0, 700_000)
        assert await acme.differences() == []

    async def test_the_audit_sees_a_number_that_was_changed_by_hand(self, acme, core):
        await hold(acme)
        (window,) = [key async for key in core.hot.redis.scan_iter("*:window:*")]
        await core.hot.redis.set(window, "399999 0 0")
        (difference,) = await acme.differences()
        assert (difference.place, difference.field) == ("hot_state", "reserved")
        async with core.database.connection() as connection:
            await connection.execute("UPDATE window_total SET reserved = reserved + 1")
        assert {row.place for row in await acme.differences()} == {"hot_state", "window_total"}

    async def test_the_audit_sees_what_is_held_by_nobody(self, acme, core):
        await hold(acme)
        async with core.database.connection() as connection:
            await connection.execute("UPDATE reservation SET state = 'EXPIRED'")
        (difference,) = await acme.differences()
        assert (difference.place, difference.field) == ("reservation", "USD held when settled")
        assert (difference.expected, difference.found) == ("0", "400000")
