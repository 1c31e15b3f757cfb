"""Listing changes: whose they are, in which order, and who may read them."""

from __future__ import annotations

import pytest

from authority.v1 import admin_service_pb2 as admin
from calls import send
from changing import change_account, changes
from keys import make_key, with_key
from refusals import invalid, refused


@pytest.fixture
async def tenants(stubs):
    """Changes of two tenants, of the platform, and of accounts below a tenant."""
    for account in ("acme", "acme/alice", "globex"):
        await stubs.account(account)
    await stubs.set_budget("acme", 1)
    await stubs.set_budget("acme/alice", 1)
    await stubs.grant("acme/alice", "CREDITS", 1)
    await make_key(stubs, "platform")
    await make_key(stubs, "globex")
    return stubs


async def test_they_are_of_a_tenant_or_of_an_account(tenants):
    every = await changes(tenants)
    assert [change.method for change in every] == [
        *["CreateApiKey"] * 2,
        "CreateGrant",
        *["CreateBudget"] * 2,
        *["CreateAccount"] * 3,
    ]

    def of(tenant):
        return [change for change in every if change.tenant == tenant]

    for tenant, count in (("acme", 5), ("globex", 2), ("platform", 1), ("nobody", 0)):
        assert await changes(tenants, tenant=tenant) == of(tenant)
        assert len(of(tenant)) == count
    own = await changes(tenants, account="acme")
    assert [change.resource for change in own] == ["acme usd-day", "acme"]
    # An API key is its tenant's, and no account's.
    (theirs,) = await changes(tenants, account="globex")
    assert theirs.resource == "globex"
    alices = await changes(tenants, account="acme/alice", tenant="acme")
    assert [change.resource_type for change in alices] == ["grant", "budget", "account"]
    assert await changes(tenants, account="acme/alice", tenant="globex") == []


@pytest.mark.parametrize("size", [1, 3, 7, 8])
@pytest.mark.parametrize("filters", [{}, {"tenant": "acme"}, {"account": "acme/alice"}])
async def test_pages_have_every_change_once_the_latest_first(tenants, size, filters):
    every = await changes(tenants, **filters)
    request = admin.ListChangesRequest(page_size=size, **filters)
    found = []
    while True:
        page = await send(tenants, request)
        assert len(page.changes) <= size
        found += page.changes
        assert len(found) <= len(every)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
        # What is changed meanwhile neither pushes anything away nor shows it twice.
        name = str(len(found))
        await send(tenants, change_account("display_name", account="acme/alice", display_name=name))
    assert found == every


async def test_a_page_token_is_good_for_its_own_listing_only(tenants):
    token = (await send(tenants, admin.ListChangesRequest(page_size=1))).next_page_token
    for filters in ({"tenant": "acme"}, {"account": "acme"}):
        request = admin.ListChangesRequest(page_token=token, **filters)
        assert await invalid(send(tenants, request)) == ["page_token"]


async def test_a_tenants_key_sees_its_own_and_nothing_else(tenants):
    bound = await with_key(tenants, "acme", ["READ", "ADMIN"])
    every = await changes(tenants, tenant="acme")
    assert {change.tenant for change in every} == {"acme"}
    assert await changes(bound) == await changes(bound, tenant="acme") == every
    assert len(await changes(bound, account="acme/alice")) == 3
    for filters in ({"tenant": "globex"}, {"tenant": "platform"}, {"account": "globex"}):
        refusal = await refused(changes(bound, **filters))
        assert refusal.code == "PERMISSION_DENIED"
    token = (await send(tenants, admin.ListChangesRequest(page_size=1))).next_page_token
    refusal = await refused(send(bound, admin.ListChangesRequest(page_token=token)))
    assert refusal.fields == ["page_token"]


async def test_changes_of_api_keys_are_for_those_who_may_read_these(tenants):
    every = await changes(tenants)
    reader = await with_key(tenants, "platform", ["READ"])
    admins = await with_key(tenants, "platform", ["ADMIN"])
    # The two keys that were made here are shown to the second one.
    assert (await changes(admins))[2:] == every
    assert {change.resource_type for change in every[:2]} == {"api_key"}
    assert await changes(reader) == every[2:]


async def test_it_takes_a_key_that_may_read(tenants):
    for scope in ("SPEND", "SUBMIT"):
        other = await with_key(tenants, "acme", [scope])
        assert (await refused(changes(other))).code == "PERMISSION_DENIED"
