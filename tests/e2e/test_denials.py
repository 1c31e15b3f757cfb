"""What a denied Reserve tells over the wire: which limits, by how much, and when to try again."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from authorities import new_key
from authority.v1 import errors_pb2
from authority.v1.errors_pb2 import DenialReason
from authority.v1.resources_pb2 import Unit, Window
from refusals import refused

MAX = 2**53 - 1


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    return stubs


async def denied(call):
    """Await a call that must be denied."""
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DENIED")
    denial = refusal.detail(errors_pb2.Denial)
    reason = DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
    assert refusal.metadata["denial_reason"] == reason
    return refusal, denial


async def test_one_limit_with_all_its_numbers(acme):
    await acme.set_budget("acme", 1_000, window="HOUR")
    held = await acme.reserve("acme", {"USD": 300})
    await acme.commit(held.reservation.reservation_id, {"USD": 250})
    await acme.refund(held.reservation.reservation_id, {"USD": 50})
    await acme.reserve("acme", {"USD": 700})
    refusal, denial = await denied(acme.reserve("acme", {"USD": 850}))
    (row,) = denial.limiting_budgets
    assert (row.account, row.budget, row.unit, row.window) == (
        "acme",
        "usd-hour",
        Unit.UNIT_USD,
        Window.WINDOW_HOUR,
    )
    assert (row.limit, row.reserved, row.committed, row.requested, row.short_by) == (
        1_000,
        700,
        200,
        850,
        750,
    )
    assert row.reason == denial.reason == DenialReason.DENIAL_REASON_BUDGET_EXHAUSTED
    assert (denial.account, denial.limiting_budget_count) == ("acme", 1)
    (violation,) = refusal.detail(error_details_pb2.QuotaFailure).violations
    assert violation.subject == "account:acme"
    assert "short by 750" in violation.description


async def test_it_says_when_the_window_ends(acme, core):
    await acme.set_budget("acme", 1_000, window="HOUR")
    await acme.commit(
        (await acme.reserve("acme", {"USD": 900})).reservation.reservation_id, {"USD": 900}
    )
    refusal, denial = await denied(acme.reserve("acme", {"USD": 101}))
    now_ms = core.hot.clock.now_ms()
    hour_end_ms = (now_ms // 3_600_000 + 1) * 3_600_000
    assert denial.limiting_budgets[0].reset_time.ToMilliseconds() == hour_end_ms
    delay = refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds()
    assert abs(now_ms + delay - hour_end_ms) < 2_000


async def test_what_is_above_the_limit_itself_is_not_to_be_tried_again(acme):
    await acme.set_budget("acme", 1_000)
    refusal, _ = await denied(acme.reserve("acme", {"USD": 1_001}))
    assert refusal.detail(error_details_pb2.RetryInfo) is None


async def test_the_limits_are_those_of_the_last_option(acme):
    await acme.set_budget("acme", 1_000)
    await acme.set_budget("acme", 1, unit="IMAGES")
    _, denial = await denied(acme.reserve("acme", {"USD": 2_000}, {"USD": 10, "IMAGES": 2}))
    assert [(row.budget, row.requested) for row in denial.limiting_budgets] == [("images-day", 2)]


async def test_the_eight_tightest_of_many_are_listed_however_long_their_names(stubs):
    tenant = "t" * 40
    chain = [tenant, *(f"{tenant}/{letter * 100}" for letter in "abc")]
    parent = ""
    for account in chain:
        await stubs.account(account, parent=parent)
        parent = account
        for number in range(4):
            await stubs.set_budget(account, MAX - number, name=f"{'b' * 62}{number}")
    quarter = {"USD": MAX // 4}
    paid = await stubs.reserve(chain[-1], quarter)
    await stubs.commit(paid.reservation.reservation_id, quarter)
    await stubs.reserve(chain[-1], quarter)
    _, denial = await denied(stubs.reserve(chain[-1], {"USD": MAX - 3}))
    assert denial.limiting_budget_count == 16
    names = [(row.budget[-1], row.short_by) for row in denial.limiting_budgets]
    short = 2 * (MAX // 4)
    assert names == [("3", short)] * 4 + [("2", short - 1)] * 4


async def test_a_replay_names_limits_that_this_process_had_not_heard_of(acme, start_authority):
    _, other = await start_authority()
    await acme.set_budget("acme", 1_000)
    await other.reserve("acme", {"USD": 1})  # its policy is warm, and older than the next budget
    await acme.set_budget("acme", 5, window="MONTH")
    key = new_key()
    await denied(acme.reserve("acme", {"USD": 10}, key=key))
    refusal, denial = await denied(other.reserve("acme", {"USD": 10}, key=key))
    assert refusal.metadata["replayed"] == "true"
    assert [row.budget for row in denial.limiting_budgets] == ["usd-month"]


async def test_a_replayed_denial_counts_the_time_from_now(acme, core):
    await acme.set_budget("acme", 1_000)
    await acme.reserve("acme", {"USD": 1_000}, ttl=100)
    key = new_key()
    delays = []
    for _ in range(2):
        refusal, _ = await denied(acme.reserve("acme", {"USD": 1}, key=key))
        delays.append(refusal.detail(error_details_pb2.RetryInfo).retry_delay.seconds)
        core.hot.clock.offset_ms += 60_000
    assert delays[0] - delays[1] in {59, 60, 61}
