"""The largest amounts, the most windows and the longest names are exact everywhere."""

from __future__ import annotations

import pytest

from authority.v1.resources_pb2 import UNIT_USD
from refusals import refused

MAX = 2**53 - 1
DAY = ("acme", "usd-day")
UNITS = ["USD", "CREDITS", "IMAGES", "VIDEOS", "MESSAGES"]


async def hold(stubs, *options, account="acme", **fields):
    return (await stubs.reserve(account, *options, **fields)).reservation.reservation_id


@pytest.mark.parametrize("amount", [10**14, 10**15 + 1, MAX - 1, MAX])
async def test_large_amounts_are_exact(stubs, amount):
    await stubs.account("acme")
    await stubs.set_budget("acme", MAX)
    held = await hold(stubs, {"USD": amount})
    assert (await stubs.balance("acme"))[DAY] == (amount, 0, 0, MAX - amount)
    paid = await stubs.commit(held, {"USD": amount})
    assert paid.reservation.legs[0].charged == amount
    await stubs.refund(held, {"USD": amount - 1})
    assert (await stubs.balance("acme"))[DAY] == (0, amount, amount - 1, MAX - 1)
    assert await stubs.differences() == []


@pytest.mark.parametrize("enforcement", ["BLOCK", "DOWNGRADE", "NOTIFY"])
async def test_no_count_passes_the_largest_amount(stubs, enforcement):
    await stubs.account("acme", overage_policy="OVERAGE_POLICY_DEBT")
    await stubs.set_budget("acme", MAX, enforcement=enforcement)
    held = await hold(stubs, {"USD": MAX - 5})
    await refused(stubs.reserve("acme", {"USD": 6}))
    other = await hold(stubs, {"USD": 5})
    # Each costs more than there are numbers for: what can't be counted is absorbed.
    charged = 0
    for name in (other, held):
        paid = await stubs.commit(name, {"USD": MAX})
        (leg,) = paid.reservation.legs
        assert (leg.actual, leg.charged + leg.absorbed) == (MAX, MAX)
        charged += leg.charged
    assert (await stubs.balance("acme"))[DAY] == (0, charged, 0, MAX - charged)
    assert charged == MAX
    assert await stubs.differences() == []


@pytest.mark.parametrize("policy", ["CAP", "AVAILABLE", "DEBT"])
async def test_late_commits_do_not_pass_it_either(stubs, core, policy):
    await stubs.account("acme", overage_policy=f"OVERAGE_POLICY_{policy}")
    await stubs.set_budget("acme", 0, enforcement="NOTIFY")
    names = []
    for _ in range(3):
        names.append(await hold(stubs, {"USD": MAX}, ttl=1))
        core.hot.clock.offset_ms += 2_000
        await core.sweeper.expire_due()
    charges = [(await stubs.commit(name, {"USD": MAX})).reservation.legs[0] for name in names]
    assert [(leg.charged, leg.absorbed) for leg in charges] == [(MAX, 0), (0, MAX), (0, MAX)]
    assert (await stubs.balance("acme"))[DAY] == (0, MAX, 0, -MAX)
    assert await stubs.differences() == []


async def test_the_most_windows_units_and_labels_in_one_reservation(stubs):
    parent = "acme"
    await stubs.account(parent, time_zone="Asia/Kathmandu")
    for level in range(7):
        name = f"acme/{level}{'x' * 99}"
        await stubs.account(name, parent=parent)
        parent = name
    chain = ["acme", *(f"acme/{level}{'x' * 99}" for level in range(7))]
    for account in chain:
        for window in ("HOUR", "DAY", "WEEK", "TOTAL"):
            for unit in UNITS[:4]:
                await stubs.set_budget(account, MAX, unit=unit, window=window)
    amounts = {unit: number + 1 for number, unit in enumerate(UNITS)}
    labels = {f"{number:02}" + "🦊" * 62: "é" * 256 for number in range(16)}
    held = await stubs.reserve(parent, *[amounts] * 8, labels=labels, ttl=86_400)
    assert dict(held.reservation.labels) == labels
    balance = await stubs.balance(parent)
    assert len(balance) == 128
    assert {row[0] for row in balance.values()} == {1, 2, 3, 4}
    paid = await stubs.commit(held.reservation.reservation_id, amounts)
    assert {leg.charged for leg in paid.reservation.legs} == {1, 2, 3, 4, 5}
    read = await stubs.get(held.reservation.reservation_id)
    assert read == paid.reservation
    assert read.legs[0].unit == UNIT_USD
    assert await stubs.differences() == []


async def test_no_refund_passes_it_after_an_adjustment(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", MAX)
    await stubs.adjust("acme", {"USD": -(MAX - 60)})
    held = await hold(stubs, {"USD": 100})
    await stubs.commit(held, {"USD": 100})
    for legs in ({"USD": 61}, None):
        refusal = await refused(stubs.refund(held, legs))
        assert (refusal.reason, refusal.metadata["refundable"]) == ("REFUND_EXCEEDS_CHARGE", "60")
    await stubs.refund(held, {"USD": 60})
    assert await stubs.differences() == []


@pytest.mark.parametrize("policy", ["CAP", "AVAILABLE", "DEBT"])
async def test_no_grant_is_charged_more_than_the_largest_amount(stubs, policy):
    await stubs.account("acme", overage_policy=f"OVERAGE_POLICY_{policy}")
    grant = await stubs.grant("acme", "CREDITS", MAX)
    charged = []
    for amount in (MAX, MAX - 5, 7):
        held = await hold(stubs, {"CREDITS": amount})
        (leg,) = (await stubs.commit(held, {"CREDITS": MAX})).reservation.legs
        charged.append(leg.charged)
        assert leg.charged + leg.absorbed == MAX
        await stubs.refund(held)
    # What can't be counted any more is absorbed.
    assert charged == [MAX, 0, 0]
    read = await stubs.get_grant(grant.grant_id)
    assert (read.committed, read.refunded, read.available) == (MAX, MAX, MAX)
    assert await stubs.differences() == []
