"""Accounts and budgets: made, read, listed and changed; each change binds the next Reserve."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1.budget_service_pb2 import GetBalanceRequest
from authority.v1.resources_pb2 import (
    ACCOUNT_STATE_ACTIVE,
    ACCOUNT_STATE_CLOSED,
    ACCOUNT_STATE_FROZEN,
    ENFORCEMENT_BLOCK,
    ENFORCEMENT_NOTIFY,
    OVERAGE_POLICY_AVAILABLE,
    OVERAGE_POLICY_DEBT,
    Account,
    Budget,
    Leg,
)
from calls import send
from refusals import invalid, outcomes, refused


async def change_account(stubs, account, *paths, **fields):
    request = admin.UpdateAccountRequest(
        account=Account(account=account, **fields), update_mask=FieldMask(paths=paths)
    )
    return (await send(stubs, request)).account


async def change_budget(stubs, account, budget, *paths, **fields):
    request = admin.UpdateBudgetRequest(
        budget=Budget(account=account, budget=budget, **fields), update_mask=FieldMask(paths=paths)
    )
    return (await send(stubs, request)).budget


async def listed(stubs, request, field, key):
    """Return the keys of every page's rows, and the sizes of the pages."""
    names, sizes = [], []
    while True:
        page = await send(stubs, request)
        rows = getattr(page, field)
        names += [key(row) for row in rows]
        sizes.append(len(rows))
        if not page.next_page_token:
            return names, sizes
        request.page_token = page.next_page_token


class TestAccounts:
    async def test_what_is_not_said_has_its_default(self, stubs):
        tenant = await stubs.account("acme")
        assert (tenant.parent, tenant.time_zone, tenant.display_name) == ("platform", "UTC", "")
        assert tenant.state == ACCOUNT_STATE_ACTIVE
        assert tenant.overage_policy == OVERAGE_POLICY_AVAILABLE
        assert (await stubs.account("acme/alice")).parent == "acme"
        given = {
            "display_name": "Bob & Söhne",
            "time_zone": "Asia/Kathmandu",
            "state": ACCOUNT_STATE_FROZEN,
            "overage_policy": OVERAGE_POLICY_DEBT,
            "parent": "acme/alice",
        }
        made = await stubs.account("acme/bob", **given)
        assert {name: getattr(made, name) for name in given} == given
        found = await send(stubs, admin.GetAccountRequest(account="acme/bob"))
        assert found.account == made

    async def test_an_account_is_made_once(self, stubs):
        await stubs.account("acme")
        for attempt in (stubs.account("acme"), stubs.account("acme", display_name="other")):
            refusal = await refused(attempt)
            assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "RESOURCE_EXISTS")

    async def test_many_at_once_make_one(self, stubs):
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(asyncio.wait([asyncio.ensure_future(stubs.account("acme"))]))
                for _ in range(10)
            ]
        made = [call for task in calls for call in task.result()[0] if not call.exception()]
        assert len(made) == 1

    async def test_levels_have_an_end(self, stubs):
        parent = await stubs.account("acme")
        for level in range(7):
            parent = await stubs.account(f"acme/{level}", parent=parent.account)
        assert await invalid(stubs.account("acme/8", parent=parent.account)) == ["account.parent"]

    async def test_only_what_the_mask_names_is_changed(self, stubs):
        await stubs.account("acme", display_name="before")
        changed = await change_account(
            stubs, "acme", "state", state=ACCOUNT_STATE_FROZEN, display_name="after"
        )
        assert (changed.state, changed.display_name) == (ACCOUNT_STATE_FROZEN, "before")
        changed = await change_account(
            stubs, "acme", "display_name", "overage_policy", overage_policy=3
        )
        assert (changed.display_name, changed.overage_policy) == ("", OVERAGE_POLICY_DEBT)
        assert changed.state == ACCOUNT_STATE_FROZEN
        found = await send(stubs, admin.GetAccountRequest(account="acme"))
        assert found.account == changed

    async def test_a_frozen_account_thaws_and_a_closed_one_stays_closed(self, stubs):
        await stubs.account("acme")
        await stubs.set_budget("acme", 100)
        await change_account(stubs, "acme", "state", state=ACCOUNT_STATE_FROZEN)
        await refused(stubs.reserve("acme", {"USD": 1}))
        await change_account(stubs, "acme", "state", state=ACCOUNT_STATE_ACTIVE)
        await stubs.reserve("acme", {"USD": 1})
        await change_account(stubs, "acme", "state", state=ACCOUNT_STATE_CLOSED)
        await change_account(stubs, "acme", "state", state=ACCOUNT_STATE_CLOSED)
        reopened = change_account(stubs, "acme", "state", state=ACCOUNT_STATE_ACTIVE)
        assert await invalid(reopened) == ["account.state"]

    async def test_changes_of_different_fields_at_once_are_all_kept(self, stubs):
        await stubs.account("acme")
        for number in range(10):
            policy = 1 + number % 3
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    change_account(stubs, "acme", "display_name", display_name=str(number))
                )
                group.create_task(
                    change_account(stubs, "acme", "overage_policy", overage_policy=policy)
                )
            found = (await send(stubs, admin.GetAccountRequest(account="acme"))).account
            assert (found.display_name, found.overage_policy) == (str(number), policy)

    async def test_a_new_account_may_have_limits_of_its_own(self, stubs):
        limits = [Leg(unit="UNIT_IMAGES", amount=4), Leg(unit="UNIT_USD", amount=2**53 - 1)]
        made = await stubs.account("acme", per_request_limits=limits, reserves_per_minute=1_000_000)
        assert list(made.per_request_limits) == limits[::-1]
        assert made.reserves_per_minute == 1_000_000
        assert (await send(stubs, admin.GetAccountRequest(account="acme"))).account == made
        changed = await change_account(stubs, "acme", "per_request_limits", reserves_per_minute=5)
        assert list(changed.per_request_limits) == []
        assert changed.reserves_per_minute == 1_000_000

    @pytest.mark.parametrize("size", [0, 1, 3, 5, 6, 7, 2**31 - 1])
    async def test_pages_have_every_account_once_in_order(self, stubs, size):
        names = ["acme", "acme/a", "acme/b", "acme/c", "globex", "globex/a"]
        for name in sorted(names, reverse=True, key=lambda name: (name.count("/") == 0, name)):
            await stubs.account(name)
        request = admin.ListAccountsRequest(page_size=size)
        found, sizes = await listed(stubs, request, "accounts", lambda row: row.account)
        assert found == names
        assert max(sizes) <= (size or 50)
        request = admin.ListAccountsRequest(page_size=size, tenant="acme")
        found, _ = await listed(stubs, request, "accounts", lambda row: row.account)
        assert found == names[:4]
        request = admin.ListAccountsRequest(page_size=size, tenant="acme", order_by="account desc")
        found, _ = await listed(stubs, request, "accounts", lambda row: row.account)
        assert found == names[3::-1]

    async def test_lists_are_filtered(self, stubs):
        for account in ("acme", "globex"):
            await stubs.account(account)
        await stubs.account("acme/a", state=ACCOUNT_STATE_FROZEN)
        await stubs.account("acme/b", parent="acme/a", state=ACCOUNT_STATE_CLOSED)
        await stubs.account("acme/c", parent="acme/a", state=ACCOUNT_STATE_FROZEN)
        for filters, expected in (
            ({"parent": "platform"}, ["acme", "globex"]),
            ({"parent": "acme"}, ["acme/a"]),
            ({"parent": "acme/a"}, ["acme/b", "acme/c"]),
            ({"parent": "acme/b"}, []),
            ({"state": ACCOUNT_STATE_FROZEN}, ["acme/a", "acme/c"]),
            ({"state": ACCOUNT_STATE_FROZEN, "order_by": "account desc"}, ["acme/c", "acme/a"]),
            ({"parent": "acme/a", "state": ACCOUNT_STATE_CLOSED}, ["acme/b"]),
            ({"tenant": "globex", "parent": "acme"}, []),
        ):
            request = admin.ListAccountsRequest(page_size=1, **filters)
            found, _ = await listed(stubs, request, "accounts", lambda row: row.account)
            assert found == expected, filters

    async def test_a_page_token_is_bound_to_the_filters_and_the_order(self, stubs):
        for account in ("acme", "acme/a", "acme/b"):
            await stubs.account(account)
        page = await send(stubs, admin.ListAccountsRequest(page_size=1, tenant="acme"))
        for fields in (
            {"parent": "acme"},
            {"tenant": "acme", "parent": "acme"},
            {"tenant": "acme", "state": ACCOUNT_STATE_ACTIVE},
            {"tenant": "acme", "order_by": "account desc"},
        ):
            request = admin.ListAccountsRequest(page_token=page.next_page_token, **fields)
            assert await invalid(send(stubs, request)) == ["page_token"]
        request = admin.ListAccountsRequest(
            page_token=page.next_page_token, tenant="acme", order_by="account"
        )
        assert [row.account for row in (await send(stubs, request)).accounts] == [
            "acme/a",
            "acme/b",
        ]


class TestLimitsOfRequests:
    """Every limit binds the next Reserve of the account and of those below it, on every process."""

    @pytest.fixture
    async def acme(self, stubs):
        await stubs.account("acme")
        await stubs.account("acme/alice")
        await stubs.set_budget("acme", 1_000)
        return stubs

    async def test_what_one_reserve_may_ask(self, acme, start_authority):
        _, other = await start_authority()
        await other.reserve("acme/alice", {"USD": 100})
        for account, amount in (("acme", 50), ("acme/alice", 80), ("acme/alice", 20)):
            limits = [Leg(unit="UNIT_USD", amount=amount), Leg(unit="UNIT_IMAGES", amount=1)]
            await change_account(acme, account, "per_request_limits", per_request_limits=limits)
            least = min(50, amount)
            await other.reserve("acme/alice", {"USD": least, "IMAGES": 1, "VIDEOS": 9})
            for wanted in ({"USD": least + 1}, {"USD": 1, "IMAGES": 2}):
                refusal = await refused(other.reserve("acme/alice", wanted))
                assert refusal.metadata["denial_reason"] == "PER_REQUEST_CAP"
        await other.reserve("acme", {"USD": 50})
        for account in ("acme", "acme/alice"):
            await change_account(acme, account, "per_request_limits")
        await other.reserve("acme/alice", {"USD": 100, "IMAGES": 2})

    async def test_how_many_reserves_a_minute(self, acme, start_authority):
        _, other = await start_authority()
        await other.reserve("acme/alice", {"USD": 1})
        await change_account(acme, "acme", "reserves_per_minute", reserves_per_minute=2)
        await other.reserve("acme", {"USD": 1})
        await other.reserve("acme/alice", {"USD": 1})
        for account in ("acme", "acme/alice"):
            refusal = await refused(acme.reserve(account, {"USD": 1}))
            assert refusal.metadata["denial_reason"] == "RATE_LIMITED"
        await change_account(acme, "acme", "reserves_per_minute", reserves_per_minute=0)
        await other.reserve("acme", {"USD": 1})

    async def test_the_highest_rate_lets_many_by(self, acme):
        rate = 1_000_000
        await change_account(acme, "acme", "reserves_per_minute", reserves_per_minute=rate)
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(acme.reserve("acme/alice", {"USD": 1}))


class TestBudgets:
    @pytest.fixture
    async def acme(self, stubs):
        await stubs.account("acme")
        return stubs

    async def test_what_is_not_said_has_its_default(self, acme):
        made = await acme.set_budget(
            "acme", 5, unit="CREDITS", window="WEEK", enforcement="UNSPECIFIED"
        )
        assert (made.budget, made.enforcement) == ("credits-week", ENFORCEMENT_BLOCK)
        assert made.create_time == made.update_time
        found = await send(acme, admin.GetBudgetRequest(account="acme", budget="credits-week"))
        assert found.budget == made
        assert (await refused(acme.set_budget("acme", 9, unit="CREDITS", window="WEEK"))).code == (
            "ALREADY_EXISTS"
        )
        await acme.set_budget("acme", 9, unit="CREDITS", window="WEEK", name="second")

    async def test_a_limit_that_is_raised_or_lowered_binds_at_once(self, acme):
        await acme.set_budget("acme", 100)
        await acme.reserve("acme", {"USD": 100})
        await refused(acme.reserve("acme", {"USD": 1}))
        changed = await change_budget(acme, "acme", "usd-day", "limit", limit=150)
        assert (changed.limit, changed.enforcement) == (150, ENFORCEMENT_BLOCK)
        await acme.reserve("acme", {"USD": 50})
        await change_budget(acme, "acme", "usd-day", "limit", limit=120)
        assert (await acme.balance("acme"))["acme", "usd-day"] == (150, 0, 0, -30)
        await refused(acme.reserve("acme", {"USD": 1}))
        changed = await change_budget(
            acme, "acme", "usd-day", "enforcement", enforcement=3, limit=9
        )
        assert (changed.limit, changed.enforcement) == (120, ENFORCEMENT_NOTIFY)
        await acme.reserve("acme", {"USD": 1})

    async def test_a_new_budget_binds_at_once_and_counts_from_zero(self, acme):
        await acme.set_budget("acme", 100)
        await acme.reserve("acme", {"USD": 60})
        await acme.set_budget("acme", 10, window="MONTH")
        await refused(acme.reserve("acme", {"USD": 11}))
        await acme.reserve("acme", {"USD": 10})
        assert await acme.balance("acme") == {
            ("acme", "usd-day"): (70, 0, 0, 30),
            ("acme", "usd-month"): (10, 0, 0, 0),
        }

    async def test_changes_of_different_fields_at_once_are_all_kept(self, acme):
        await acme.set_budget("acme", 100)
        for limit in range(10):
            enforcement = 1 + limit % 3
            async with asyncio.TaskGroup() as group:
                group.create_task(change_budget(acme, "acme", "usd-day", "limit", limit=limit))
                group.create_task(
                    change_budget(acme, "acme", "usd-day", "enforcement", enforcement=enforcement)
                )
            request = admin.GetBudgetRequest(account="acme", budget="usd-day")
            found = (await send(acme, request)).budget
            assert (found.limit, found.enforcement) == (limit, enforcement)

    async def test_an_account_has_at_most_sixteen(self, acme):
        for number in range(15):
            await acme.set_budget("acme", 1, name=f"b-{number}")
        # Of those that come at once, the first one fits.
        answers = await outcomes(acme.set_budget("acme", 1, name=f"c-{n}") for n in range(5))
        assert sorted(answers) == [[], *[["budget.account"]] * 4]
        assert await invalid(acme.set_budget("acme", 1, name="b-16")) == ["budget.account"]

    async def test_a_cap_on_open_reservations_has_no_window_and_blocks(self, acme):
        cap = {"unit": "RESERVATIONS"}
        made = await acme.set_budget("acme", 1, **cap, window="TOTAL", enforcement="UNSPECIFIED")
        assert (made.budget, made.enforcement) == ("reservations-total", ENFORCEMENT_BLOCK)
        for window in ("HOUR", "DAY", "WEEK", "MONTH"):
            refusal = await refused(acme.set_budget("acme", 1, **cap, window=window))
            assert refusal.fields == ["budget.window"]
            assert "WINDOW_TOTAL" in refusal.message
        for enforcement in ("DOWNGRADE", "NOTIFY"):
            cap_that = {**cap, "window": "TOTAL", "enforcement": enforcement, "name": "other"}
            refusal = await refused(acme.set_budget("acme", 1, **cap_that))
            assert refusal.fields == ["budget.enforcement"]
            assert "ENFORCEMENT_BLOCK" in refusal.message
            change = {"enforcement": f"ENFORCEMENT_{enforcement}"}
            changed = change_budget(acme, "acme", "reservations-total", "enforcement", **change)
            assert await invalid(changed) == ["budget.enforcement"]
        changed = await change_budget(acme, "acme", "reservations-total", "limit", limit=2)
        assert (changed.limit, changed.enforcement) == (2, ENFORCEMENT_BLOCK)

    async def test_what_is_not_there(self, acme):
        for request in (
            admin.GetBudgetRequest(account="acme", budget="none"),
            admin.GetBudgetRequest(account="nobody", budget="none"),
            admin.ListBudgetsRequest(account="nobody"),
            admin.GetAccountRequest(account="acme/nobody"),
        ):
            assert (await refused(send(acme, request))).code == "NOT_FOUND"
        assert (
            await refused(change_budget(acme, "acme", "none", "limit", limit=1))
        ).code == "NOT_FOUND"
        refusal = await refused(change_account(acme, "nobody", "state", state=1))
        assert (refusal.code, refusal.metadata["resource_name"]) == ("NOT_FOUND", "nobody")

    @pytest.mark.parametrize("size", [0, 1, 2, 4])
    async def test_pages_have_every_budget_once_in_order(self, acme, size):
        await acme.account("acme/alice")
        for account in ("acme/alice", "acme"):
            for name in ("b", "a"):
                await acme.set_budget(account, 1, name=name)
        request = admin.ListBudgetsRequest(page_size=size)
        names, _ = await listed(acme, request, "budgets", lambda row: (row.account, row.budget))
        assert names == [(account, name) for account in ("acme", "acme/alice") for name in "ab"]
        request = admin.ListBudgetsRequest(page_size=size, account="acme/alice")
        names, _ = await listed(acme, request, "budgets", lambda row: (row.account, row.budget))
        assert names == [("acme/alice", "a"), ("acme/alice", "b")]

    async def test_lists_are_filtered_by_unit(self, acme):
        await acme.account("acme/alice")
        for account in ("acme", "acme/alice"):
            for unit in ("USD", "IMAGES", "RESERVATIONS"):
                await acme.set_budget(account, 1, unit=unit, window="TOTAL")
        for filters, expected in (
            ({"unit": "UNIT_IMAGES"}, ["acme images-total", "acme/alice images-total"]),
            ({"unit": 6}, ["acme reservations-total", "acme/alice reservations-total"]),
            ({"unit": 1, "account": "acme/alice"}, ["acme/alice usd-total"]),
            ({"unit": "UNIT_VIDEOS"}, []),
        ):
            request = admin.ListBudgetsRequest(page_size=1, **filters)
            names, _ = await listed(
                acme, request, "budgets", lambda row: f"{row.account} {row.budget}"
            )
            assert names == expected
        page = await send(acme, admin.ListBudgetsRequest(page_size=1))
        request = admin.ListBudgetsRequest(page_token=page.next_page_token, unit="UNIT_USD")
        assert await invalid(send(acme, request)) == ["page_token"]


async def test_a_window_follows_the_time_zone_of_its_own_account(stubs):
    await stubs.account("acme")
    await stubs.account("acme/alice", time_zone="Asia/Kathmandu")
    await stubs.set_budget("acme", 100)
    await stubs.set_budget("acme/alice", 100)
    balances = (await send(stubs, GetBalanceRequest(account="acme/alice"))).balances
    starts = {row.budget.account: row.window_start_time.ToDatetime() for row in balances}
    assert (starts["acme"].hour, starts["acme"].minute) == (0, 0)
    assert (starts["acme/alice"].hour, starts["acme/alice"].minute) == (18, 15)


async def test_the_status_of_a_whole_stack(stubs, core):
    status = await send(stubs, admin.GetStatusRequest())
    assert (status.hot_store_ok, status.ledger_ok, status.epoch) == (True, True, core.hot.epoch)
    assert (status.queued_count, status.running_count, list(status.workers)) == (0, 0, [])
    assert status.version
