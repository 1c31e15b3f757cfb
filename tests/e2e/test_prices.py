"""The prices in credits, and what grants were paid for."""

from __future__ import annotations

import json

import pytest

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2
from authority.v1.credits_pb2 import CreditPrice, GetPriceListRequest, UpdatePriceListRequest
from authority.v1.generation_service_pb2 import Kind
from calls import send
from changing import changes
from keys import with_key
from refusals import invalid, refused

DEFAULTS = {
    ("KIND_IMAGE", "premium"): 2_000_000,
    ("KIND_IMAGE", "standard"): 1_000_000,
    ("KIND_CHAT", "premium"): 500_000,
    ("KIND_CHAT", "standard"): 100_000,
    ("KIND_VIDEO", "premium"): 2_000_000,
    ("KIND_VIDEO", "standard"): 1_000_000,
}


def price(kind="KIND_IMAGE", tier="standard", **fields):
    return CreditPrice(kind=kind, tier=tier, **{"credits": 1, **fields})


async def prices(stubs, version=0):
    """Return a price list's version and prices by kind and tier."""
    found = (await send(stubs, GetPriceListRequest(version=version))).price_list
    by_name = {(Kind.Name(row.kind), row.tier): row.credits for row in found.prices}
    return found.version, by_name


async def change(stubs, *listed, **fields):
    return (await send(stubs, UpdatePriceListRequest(prices=listed, **fields))).price_list


async def test_there_are_prices_from_the_start(stubs):
    assert await prices(stubs) == (1, DEFAULTS)


async def test_other_prices_are_another_version(stubs):
    made = await change(stubs, price(credits=5), price(tier="premium"), reason="autumn")
    assert (made.version, made.reason) == (2, "autumn")
    new = {("KIND_IMAGE", "standard"): 5, ("KIND_IMAGE", "premium"): 1}
    assert await prices(stubs) == (2, new)
    assert await prices(stubs, 1) == (1, DEFAULTS)
    (recorded, *_) = await changes(stubs)
    assert (recorded.method, recorded.resource) == ("UpdatePriceList", "2")
    assert json.loads(recorded.before)["version"] == 1
    again = await change(stubs, price(tier="premium"), price(credits=5))
    assert again.version == 2, "the same prices are no change"
    assert len(await changes(stubs)) == 1


async def test_a_change_of_what_is_the_latest_no_more_is_refused(stubs):
    assert (await change(stubs, price(credits=5), base_version=1)).version == 2
    assert await invalid(change(stubs, price(credits=6), base_version=1)) == ["base_version"]


async def test_every_wrong_field_is_named(stubs):
    fields = await invalid(
        change(
            stubs,
            price(credits=-1),
            price(),
            price(tier="gold"),
            price(kind=0),
            price(kind=99),
            price(kind="KIND_CHAT", credits=10**12 + 1),
            base_version=-1,
            reason="x" * 257,
        )
    )
    assert set(fields) == {
        "prices[0].credits",
        "prices[1]",
        "prices[2].tier",
        "prices[3].kind",
        "prices[4].kind",
        "prices[5].credits",
        "base_version",
        "reason",
    }
    for listed in ([], [price()] * 17):
        assert "prices" in await invalid(change(stubs, *listed))
    assert (await refused(prices(stubs, 7))).reason == "NOT_FOUND"
    assert await invalid(prices(stubs, -1)) == ["version"]


@pytest.mark.parametrize("scope", ["SUBMIT", "READ", "SPEND"])
async def test_every_tenant_sees_them_and_none_sets_them(stubs, scope):
    await stubs.account("acme")
    assert (await prices(await with_key(stubs, "acme", [scope])))[0] == 1
    admins = await with_key(stubs, "acme")
    assert (await refused(change(admins, price()))).code == "PERMISSION_DENIED"


async def test_what_was_paid_for_a_grant_is_kept_and_a_top_up_is_made_once(stubs):
    await stubs.account("acme")
    wanted = resources_pb2.Grant(
        account="acme", unit="UNIT_CREDITS", amount=10_000_000, price=4_990_000
    )
    request = admin.CreateGrantRequest(idempotency_key="order-7", grant=wanted)
    made = await send(stubs, request)
    assert made.grant.price == 4_990_000
    again = await send(stubs, request)
    assert (again.replayed, again.grant.grant_id) == (True, made.grant.grant_id)
    assert again.grant.price == 4_990_000
    wanted.price = 1
    refusal = await refused(
        send(stubs, admin.CreateGrantRequest(idempotency_key="order-7", grant=wanted))
    )
    assert refusal.reason == "IDEMPOTENCY_KEY_REUSED"
    (recorded, *_) = await changes(stubs, account="acme")
    assert json.loads(recorded.after)["price"] == 4_990_000
    wanted.price = -1
    bad = admin.CreateGrantRequest(idempotency_key="order-8", grant=wanted)
    assert await invalid(send(stubs, bad)) == ["grant.price"]
