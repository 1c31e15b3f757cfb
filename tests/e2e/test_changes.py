"""The record of changes: one row for each, in its transaction, with who, why, before and after."""

from __future__ import annotations

import asyncio
import itertools
import json
import re

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authorities import TOKEN, new_key
from authority.domain.errors import Unavailable
from authority.recovery import sweep
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import credits_pb2
from authority.v1.resources_pb2 import Account, Budget, Grant, Leg, Plan
from calls import METHODS, send
from changing import change_account, changes
from keys import make_key, signed_in, with_key
from refusals import refused

MAX = 2**53 - 1
ROOT = "root token (root)"
METHOD_NAMES = {
    *("CreateAccount", "UpdateAccount", "CreateBudget", "UpdateBudget", "SetOwnBudget"),
    *("CreateGrant", "VoidGrant", "CreatePlan", "UpdatePlan", "UpdatePriceList"),
    *("CreateApiKey", "UpdateApiKey", "RevokeApiKey"),
}


async def latest(stubs):
    """Return the latest change, with its documents read."""
    change = (await changes(stubs))[0]
    return change, change.before and json.loads(change.before), json.loads(change.after)


def make_account(account="acme/alice", reason="", **fields):
    return admin.CreateAccountRequest(account=Account(account=account, **fields), reason=reason)


def make_budget(reason="", **fields):
    good = {"account": "acme", "unit": 1, "window": 2, "limit": 5}
    return admin.CreateBudgetRequest(budget=Budget(**{**good, **fields}), reason=reason)


def change_budget(*paths, reason="", **fields):
    return admin.UpdateBudgetRequest(
        budget=Budget(account="acme", budget="usd-day", **fields),
        update_mask=FieldMask(paths=paths),
        reason=reason,
    )


def make_grant(key="grant", reason="", amount=100):
    grant = Grant(account="acme", unit="UNIT_CREDITS", amount=amount, source="purchase")
    return admin.CreateGrantRequest(idempotency_key=key, grant=grant, reason=reason)


def void_grant(grant_id, key="void", reason=""):
    return admin.VoidGrantRequest(idempotency_key=key, grant_id=grant_id, reason=reason)


def make_plan(plan, reason=""):
    return admin.CreatePlanRequest(plan=Plan(plan=plan), reason=reason)


def change_plan(plan, reserves_per_minute, reason=""):
    return admin.UpdatePlanRequest(
        plan=Plan(plan=plan, reserves_per_minute=reserves_per_minute),
        update_mask=FieldMask(paths=["reserves_per_minute"]),
        reason=reason,
    )


def key_request(reason=""):
    wanted = admin.ApiKey(tenant="acme", scopes=["SCOPE_READ"], display_name="reports")
    return admin.CreateApiKeyRequest(api_key=wanted, reason=reason)


def revoke_key(api_key_id, reason=""):
    return admin.RevokeApiKeyRequest(api_key_id=api_key_id, reason=reason)


@pytest.fixture
async def acme(stubs):
    """A tenant with a budget, a grant and an API key."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1)
    return stubs


@pytest.fixture
async def every_change(acme):
    """A good request of each method that changes something, but for its reason."""
    grant = (await send(acme, make_grant("first"))).grant
    key = (await send(acme, key_request())).api_key
    await send(acme, make_plan("pro"))
    await send(acme, admin.SetOwnBudgetRequest(account="acme", limit=2_000_000))
    return {
        "CreateAccount": lambda reason: make_account(reason=reason),
        "UpdateAccount": lambda reason: change_account(
            "display_name", display_name="Acme", reason=reason
        ),
        "CreateBudget": lambda reason: make_budget(reason, window=3),
        "UpdateBudget": lambda reason: change_budget("limit", limit=2, reason=reason),
        "SetOwnBudget": lambda reason: admin.SetOwnBudgetRequest(account="acme", reason=reason),
        "CreateGrant": lambda reason: make_grant("second", reason),
        "VoidGrant": lambda reason: void_grant(grant.grant_id, reason=reason),
        "CreatePlan": lambda reason: make_plan("free", reason),
        "UpdatePlan": lambda reason: change_plan("pro", 5, reason),
        "UpdatePriceList": lambda reason: credits_pb2.UpdatePriceListRequest(
            prices=[credits_pb2.CreditPrice(kind="KIND_IMAGE", tier="standard", credits=1)],
            reason=reason,
        ),
        "CreateApiKey": key_request,
        "UpdateApiKey": lambda reason: admin.UpdateApiKeyRequest(
            api_key=admin.ApiKey(api_key_id=key.api_key_id, display_name="other"),
            update_mask=FieldMask(paths=["display_name"]),
            reason=reason,
        ),
        "RevokeApiKey": lambda reason: revoke_key(key.api_key_id, reason),
    }


def test_every_method_that_changes_something_is_tried():
    services = {method.containing_service for method in METHODS.values()}
    (service,) = (service for service in services if service.name == "AdminService")
    reasons = {
        method.name for method in service.methods if "reason" in method.input_type.fields_by_name
    }
    assert reasons == METHOD_NAMES


async def test_every_change_is_recorded_once_with_who_and_why(acme, every_change):
    assert every_change.keys() == METHOD_NAMES
    for method, request in every_change.items():
        before = len(await changes(acme))
        await send(acme, request(f"because of {method}: Straße, 日本"))
        found = await changes(acme)
        assert len(found) == before + 1
        assert found[0].method == method
        assert found[0].tenant == ("platform" if re.search("Pla|Pri", method) else "acme")
        assert found[0].actor == ROOT
        assert found[0].reason == f"because of {method}: Straße, 日本"
        assert found[0].change_time.seconds > 1_500_000_000
        assert (found[0].before == "") == method.startswith("Create")
    numbers = [change.change_number for change in await changes(acme)]
    assert numbers == sorted(set(numbers), reverse=True)


async def test_a_reason_may_be_left_out_or_be_as_long_as_it_may(acme):
    await send(acme, make_account("acme/alice"))
    assert (await changes(acme))[0].reason == ""
    await send(acme, make_account("acme/bob", "x" * 256))
    assert (await changes(acme))[0].reason == "x" * 256


async def test_it_is_named_by_whose_key_the_change_was_made(acme):
    named = await make_key(acme, "acme", display_name="Käthe's laptop")
    await send(signed_in(acme, named.token), make_grant())
    assert (await changes(acme))[0].actor == f"Käthe's laptop ({named.api_key.api_key_id})"
    nameless = await make_key(acme, "platform")
    await send(signed_in(acme, nameless.token), make_account())
    assert (await changes(acme))[0].actor == nameless.api_key.api_key_id


async def test_what_an_account_was_and_is(acme):
    limits = [Leg(unit="UNIT_IMAGES", amount=4), Leg(unit="UNIT_USD", amount=MAX)]
    request = make_account(
        display_name="Alice",
        time_zone="Asia/Tokyo",
        per_request_limits=limits,
        reserves_per_minute=60,
    )
    made = (await send(acme, request)).account
    change, before, after = await latest(acme)
    assert (change.resource_type, change.resource) == ("account", "acme/alice")
    assert before == ""
    assert after.pop("create_time").startswith(made.create_time.ToJsonString()[:19])
    assert after == {
        "account": "acme/alice",
        "parent": "acme",
        "display_name": "Alice",
        "time_zone": "Asia/Tokyo",
        "state": "ACTIVE",
        "overage_policy": "AVAILABLE",
        "per_request_limits": [{"unit": "USD", "amount": MAX}, {"unit": "IMAGES", "amount": 4}],
        "reserves_per_minute": 60,
        "plan": "",
        "end_time": None,
        "freeze_end_time": None,
        "submissions_per_minute": 0,
    }
    await send(acme, change_account("state", "display_name", account="acme/alice", state=2))
    _, before, now = await latest(acme)
    assert before.pop("create_time") == now.pop("create_time")
    assert before == after
    assert now == {**after, "state": "FROZEN", "display_name": ""}


async def test_what_a_budget_was_and_is(acme):
    await send(acme, make_budget(unit="UNIT_CREDITS", limit=MAX))
    change, before, after = await latest(acme)
    assert (change.resource_type, change.resource) == ("budget", "acme credits-day")
    assert (before, after["limit"], after["unit"]) == ("", MAX, "CREDITS")
    await send(acme, change_budget("limit", "enforcement", limit=MAX, enforcement=3))
    change, before, after = await latest(acme)
    assert change.resource == "acme usd-day"
    assert (before["limit"], before["enforcement"]) == (1, "BLOCK")
    assert (after["limit"], after["enforcement"]) == (MAX, "NOTIFY")
    assert before["update_time"] < after["update_time"]
    assert before["create_time"] == after["create_time"]


async def test_what_a_grant_was_and_is(acme):
    grant = (await send(acme, make_grant(amount=MAX))).grant
    change, before, after = await latest(acme)
    assert (change.resource_type, change.resource) == ("grant", grant.grant_id)
    assert (before, after["amount"], after["source"]) == ("", MAX, "purchase")
    assert (after["expire_time"], after["void_time"]) == (None, None)
    await send(acme, void_grant(grant.grant_id))
    change, before, now = await latest(acme)
    assert (change.resource_type, change.resource) == ("grant", grant.grant_id)
    assert before == after
    assert now == {**after, "void_time": now["void_time"]}
    assert now["void_time"] >= after["create_time"]


async def test_what_an_api_key_was_and_is(acme, core):
    made = await send(acme, key_request())
    change, before, after = await latest(acme)
    assert (change.resource_type, change.resource) == ("api_key", made.api_key.api_key_id)
    assert (before, after["scopes"], after["display_name"]) == ("", ["READ"], "reports")
    await send(acme, revoke_key(made.api_key.api_key_id))
    _, before, now = await latest(acme)
    assert before == after
    assert now == {**after, "revoke_time": now["revoke_time"]}
    assert now["revoke_time"]
    # Nothing of it is a secret, nor what is kept of one.
    rows = await core.database.rows("SELECT admin_audit::text AS row FROM admin_audit", {})
    (kept,) = await core.database.rows("SELECT encode(secret_hash, 'hex') AS hash FROM api_key", {})
    text = "".join(row["row"] for row in rows)
    for secret in (made.token, made.token.split("_", 2)[2], kept["hash"], TOKEN):
        assert secret not in text
    assert "secret" not in text


async def test_what_is_refused_is_not_recorded(acme):
    grant = (await send(acme, make_grant())).grant
    await send(acme, change_account("state", state=3))
    await send(acme, make_account())
    count = len(await changes(acme))
    nobody = f"acme/{new_key()}"
    for request in (
        make_account(),
        make_account("acme/bob", parent="acme/nobody"),
        make_account("acme/bob", "x" * 257),
        change_account("state", state=1),
        change_account("state", account="acme/nobody", state=1),
        change_account("parent", account="acme/alice", parent="acme/nobody"),
        make_budget(),
        make_budget(account="acme/nobody"),
        make_budget(unit=6),
        admin.UpdateBudgetRequest(
            budget=Budget(account="acme", budget="none"), update_mask=FieldMask(paths=["limit"])
        ),
        make_grant("grant", amount=5),
        make_grant("other", amount=0),
        void_grant(nobody),
        void_grant(grant.grant_id, key="grant"),
        revoke_key("a" * 12),
        admin.CreateApiKeyRequest(api_key=admin.ApiKey(tenant="nobody", scopes=[1])),
    ):
        await refused(send(acme, request))
    others = await with_key(acme, "acme", ["SPEND", "READ"])
    await refused(send(others, make_account("acme/bob")))
    assert len(await changes(acme)) == count + 1  # the key


async def test_a_refused_tenant_leaves_nothing_behind(acme, core):
    await refused(send(acme, make_account("globex/alice")))
    await refused(send(acme, make_account("acme")))
    rows = await core.database.rows("SELECT tenant FROM tenant", {})
    assert {row["tenant"] for row in rows} == {"platform", "acme"}


async def test_a_replayed_grant_is_not_recorded_again_whoever_repeats_it(acme):
    first = await make_key(acme, "acme", display_name="first")
    second = await make_key(acme, "acme", display_name="second")
    count = len(await changes(acme))
    grant = (await send(signed_in(acme, first.token), make_grant(reason="top-up"))).grant
    again = await send(signed_in(acme, second.token), make_grant(reason="top-up"))
    assert (again.replayed, again.grant) == (True, grant)
    await send(signed_in(acme, first.token), void_grant(grant.grant_id))
    again = await send(signed_in(acme, second.token), void_grant(grant.grant_id))
    assert again.replayed
    found = await changes(acme)
    assert len(found) == count + 2
    assert all(change.actor.startswith("first") for change in found[:2])


async def test_what_changes_nothing_is_not_recorded(acme):
    grant = (await send(acme, make_grant())).grant
    key = (await send(acme, key_request())).api_key
    for request in (void_grant(grant.grant_id), revoke_key(key.api_key_id)):
        await send(acme, request)
    before = (await send(acme, admin.GetBudgetRequest(account="acme", budget="usd-day"))).budget
    count = len(await changes(acme))
    for request in (
        change_account("display_name", "state", "parent", state=1, parent="platform"),
        change_account("per_request_limits", "reserves_per_minute"),
        change_budget("limit", "enforcement", limit=1, enforcement=1),
        void_grant(grant.grant_id, key="another"),
        revoke_key(key.api_key_id),
    ):
        await send(acme, request)
    assert len(await changes(acme)) == count
    after = (await send(acme, admin.GetBudgetRequest(account="acme", budget="usd-day"))).budget
    assert after == before


async def test_many_who_void_a_grant_at_once_are_one_change(acme):
    grant = (await send(acme, make_grant())).grant
    count = len(await changes(acme))
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(send(acme, void_grant(grant.grant_id, key=f"void-{number}")))
    assert len(await changes(acme)) == count + 1


async def test_changes_at_once_are_recorded_one_after_the_other(acme, start_authority):
    _, other = await start_authority()
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            at = (acme, other)[number % 2]
            group.create_task(send(at, change_budget("limit", limit=100 + number)))
    updates = (await changes(acme))[:20]
    assert {change.method for change in updates} == {"UpdateBudget"}
    for later, earlier in itertools.pairwise(updates):
        assert json.loads(later.before) == json.loads(earlier.after)
    budget = (await send(acme, admin.GetBudgetRequest(account="acme", budget="usd-day"))).budget
    assert json.loads(updates[0].after)["limit"] == budget.limit


async def rows(core):
    """Return all that can be changed."""
    async with core.database.connection() as connection:
        found = []
        for table in ("account", "budget", "account_grant", "api_key", "admin_audit"):
            cursor = await connection.execute(f"SELECT t::text AS row FROM {table} t ORDER BY 1")
            found += [row["row"] for row in await cursor.fetchall()]
    return found


async def test_what_can_not_be_recorded_is_not_done(acme, core, every_change):
    async with core.database.connection() as connection:
        await connection.execute("ALTER TABLE admin_audit ADD CHECK (reason <> 'refuse')")
    before = await rows(core)
    for request in every_change.values():
        with pytest.raises(grpc.aio.AioRpcError):
            await send(acme, request("refuse"))
        assert await rows(core) == before


async def test_a_grant_that_another_process_journals_is_its_makers(
    acme, core, start_authority, monkeypatch
):
    running, other = await start_authority()
    key = await make_key(acme, "acme", display_name="shop")
    grant = (await send(acme, make_grant("first"))).grant
    count = len(await changes(acme))

    async def lost(operation, entry):
        raise Unavailable("The process died.")

    monkeypatch.setattr(core.context.journal, "append", lost)
    shop = signed_in(acme, key.token)
    for request in (make_grant("second", "a top-up"), void_grant(grant.grant_id, reason="wrong")):
        assert (await refused(send(shop, request))).code == "UNAVAILABLE"
    monkeypatch.setattr(sweep, "_OUTBOX_GRACE_MS", 0)
    await running.core.sweeper.drain()
    found = await changes(other)
    assert len(found) == count + 2
    actor = f"shop ({key.api_key.api_key_id})"
    assert [(change.method, change.actor, change.reason) for change in found[:2]] == [
        ("VoidGrant", actor, "wrong"),
        ("CreateGrant", actor, "a top-up"),
    ]
    # Whoever asks again, later and elsewhere, gets the first answer, and it is one change.
    again = await send(other, make_grant("second", "a top-up"))
    assert again.replayed
    assert len(await changes(acme)) == count + 2
