"""Abuse guards: bursts and refused content raise one alert, freeze by policy, and thaw in time."""

from __future__ import annotations

import json

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from authority.domain.abuse import too_many
from authority.usecases import abuse
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import AbusePolicy, Account, Plan
from calls import send
from generating import insert_generation
from refusals import refused

MINUTE = 60_000


@pytest.fixture(autouse=True)
def unattended(monkeypatch):
    """Keep the guard's loop out: a test lets it look when it says so."""
    monkeypatch.setattr(abuse, "TICK_SECONDS", 3_600)


async def make_account(stubs, freeze=600, **policy):
    watched = AbusePolicy(within=Duration(seconds=60), **policy)
    if freeze:
        watched.freeze.seconds = freeze
    plan = Plan(plan="watched", submissions_per_minute=1, abuse=watched)
    await send(stubs, admin.CreatePlanRequest(plan=plan))
    await stubs.account("acme")
    await stubs.account("acme/alice", plan="watched")
    await stubs.set_budget("acme", 1_000)


async def submit_too_often(generations, count):
    for _ in range(count):
        await refused(generations.submit("acme/alice"))


async def account(stubs):
    return (await send(stubs, admin.GetAccountRequest(account="acme/alice"))).account


async def set_state(stubs, state):
    wanted = Account(account="acme/alice", state=f"ACCOUNT_STATE_{state}")
    request = admin.UpdateAccountRequest(
        account=wanted, update_mask=FieldMask(paths=["state"]), reason="by hand"
    )
    await send(stubs, request)


async def alerts(core):
    return await core.database.rows(
        "SELECT * FROM alert WHERE kind = 'ABUSE' ORDER BY raise_time", {}
    )


def state_of(found):
    return Account.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[found.state].name


async def refuse(ledger_url, count, seconds_ago=0):
    """Let generations of alice be refused for their content, a second after one another."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        for number in range(count):
            name = await insert_generation(ledger_url)
            await connection.execute(
                "UPDATE generation SET account = 'acme/alice' WHERE generation_id = %s", [name]
            )
            await connection.execute(
                "INSERT INTO generation_attempt (generation_id, attempt, state, options,"
                " error_reason, create_time) VALUES (%s, 1, 'FAILED', '[]', 'content_refused',"
                " now() - %s * interval '1 second')",
                [name, seconds_ago + count - number],
            )


@pytest.mark.parametrize(
    ("times", "last"),
    [([], None), ([0, 1], None), ([0, 30, 60], 60), ([0, 31, 61], None), ([0, 50, 70, 90], 90)],
)
def test_too_many_are_so_many_within_the_time(times, last):
    found = too_many([time * 1_000_000 for time in times], 3, MINUTE)
    assert found == (None if last is None else last * 1_000_000)


async def test_a_burst_freezes_for_a_time(stubs, core, generations):
    await make_account(stubs, bursts=3)
    await generations.submit("acme/alice")
    await submit_too_often(generations, 2)
    assert await alerts(core) == []
    await submit_too_often(generations, 1)
    (alert,) = await alerts(core)
    assert (alert["account"], alert["severity"]) == ("acme/alice", "CRITICAL")
    assert alert["details"]["count"] == 3
    frozen = await account(stubs)
    assert state_of(frozen) == "ACCOUNT_STATE_FROZEN"
    assert 0 < frozen.freeze_end_time.seconds * 1000 - core.hot.clock.now_ms() <= 10 * MINUTE
    refusal = await refused(stubs.reserve("acme/alice", {"USD": 1}))
    assert refusal.metadata["denial_reason"] == "ACCOUNT_FROZEN"
    # Not before its time, and then by itself.
    core.hot.clock.offset_ms += 9 * MINUTE
    await core.abuse.thaw()
    assert state_of(await account(stubs)) == "ACCOUNT_STATE_FROZEN"
    core.hot.clock.offset_ms += 2 * MINUTE
    await core.abuse.thaw()
    await stubs.reserve("acme/alice", {"USD": 1})
    changes = (await send(stubs, admin.ListChangesRequest(account="acme/alice"))).changes
    thawed, froze, *_ = changes
    assert (thawed.actor, froze.actor) == ("abuse guard", "abuse guard")
    assert (json.loads(froze.after)["state"], json.loads(thawed.after)["state"]) == (
        "FROZEN",
        "ACTIVE",
    )


async def test_bursts_are_counted_within_the_time(stubs, core, generations):
    await make_account(stubs, bursts=3)
    await generations.submit("acme/alice")
    await submit_too_often(generations, 2)
    core.hot.clock.offset_ms += 2 * MINUTE
    await generations.submit("acme/alice")
    await submit_too_often(generations, 2)
    assert await alerts(core) == []


async def test_without_a_freeze_there_is_an_alert_alone(stubs, core, generations):
    await make_account(stubs, freeze=0, bursts=2)
    await generations.submit("acme/alice")
    await submit_too_often(generations, 4)
    assert [row["severity"] for row in await alerts(core)] == ["WARNING", "WARNING"]
    assert state_of(await account(stubs)) == "ACCOUNT_STATE_ACTIVE"


async def test_refused_content_is_told_once_by_whoever_looks(stubs, core, ledger_url):
    await make_account(stubs, refusals=3)
    await refuse(ledger_url, 2)
    await core.abuse.look()
    assert await alerts(core) == []
    await refuse(ledger_url, 1)
    for _ in range(3):
        await core.abuse.look()
    (alert,) = await alerts(core)
    assert alert["details"]["what"] == "refusals"
    assert state_of(await account(stubs)) == "ACCOUNT_STATE_FROZEN"
    # After a thaw the same ones do not count again.
    core.hot.clock.offset_ms += 11 * MINUTE
    await core.abuse.thaw()
    await core.abuse.look()
    assert state_of(await account(stubs)) == "ACCOUNT_STATE_ACTIVE"
    assert len(await alerts(core)) == 1


async def test_refusals_far_apart_are_no_abuse(stubs, core, ledger_url):
    await make_account(stubs, refusals=3)
    for minutes in (0, 2, 4):
        await refuse(ledger_url, 1, seconds_ago=60 * minutes)
    await core.abuse.look()
    assert await alerts(core) == []


async def test_who_froze_by_hand_thaws_by_hand(stubs, core, generations, ledger_url):
    await make_account(stubs, refusals=1, bursts=1)
    await set_state(stubs, "FROZEN")
    await refuse(ledger_url, 1)
    await core.abuse.look()
    # It is told, and the operator's freeze has no end.
    assert len(await alerts(core)) == 1
    core.hot.clock.offset_ms += 24 * 60 * MINUTE
    await core.abuse.thaw()
    found = await account(stubs)
    assert state_of(found) == "ACCOUNT_STATE_FROZEN"
    assert not found.HasField("freeze_end_time")


async def test_an_operator_may_take_a_freeze_over_or_end_it(stubs, core, generations):
    await make_account(stubs, bursts=1)
    await generations.submit("acme/alice")
    await submit_too_often(generations, 1)
    await set_state(stubs, "FROZEN")
    core.hot.clock.offset_ms += 11 * MINUTE
    await core.abuse.thaw()
    assert state_of(await account(stubs)) == "ACCOUNT_STATE_FROZEN"
    await set_state(stubs, "ACTIVE")
    found = await account(stubs)
    assert (state_of(found), found.HasField("freeze_end_time")) == ("ACCOUNT_STATE_ACTIVE", False)
    await stubs.reserve("acme/alice", {"USD": 1})
