"""Accounts that are moved: what binds them then, what stays behind, and where none may go."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import Account
from calls import send
from refusals import invalid, outcomes, refused


async def move(stubs, account, parent):
    request = admin.UpdateAccountRequest(
        account=Account(account=account, parent=parent), update_mask=FieldMask(paths=["parent"])
    )
    return (await send(stubs, request)).account


async def parents(stubs):
    """Return the whole tree: the parent of each account."""
    rows = (await send(stubs, admin.ListAccountsRequest(page_size=1000))).accounts
    return {row.account: row.parent for row in rows}


async def levels(stubs):
    """Return how many levels the tree has. Fails if there is a cycle."""
    above = await parents(stubs)
    depth = 0
    for account in above:
        place, seen = account, []
        while place != "platform":
            assert place not in seen
            seen.append(place)
            place = above[place]
        depth = max(depth, len(seen))
    return depth


@pytest.fixture
async def acme(stubs):
    """Two teams with 100 each; alice is in the first one, and has a session."""
    await stubs.account("acme")
    for team in ("acme/red", "acme/blue"):
        await stubs.account(team)
        await stubs.set_budget(team, 100)
    await stubs.account("acme/alice", parent="acme/red")
    await stubs.account("acme/session", parent="acme/alice")
    return stubs


async def test_the_budgets_of_the_new_place_bind_all_that_was_moved(acme):
    await acme.reserve("acme/session", {"USD": 100})
    await refused(acme.reserve("acme/alice", {"USD": 1}))
    moved = await move(acme, "acme/alice", "acme/blue")
    assert moved.parent == "acme/blue"
    assert (await send(acme, admin.GetAccountRequest(account="acme/alice"))).account == moved
    await acme.reserve("acme/session", {"USD": 60})
    await refused(acme.reserve("acme/alice", {"USD": 41}))
    assert await acme.balance("acme/session") == {("acme/blue", "usd-day"): (60, 0, 0, 40)}
    assert await acme.balance("acme/red") == {("acme/red", "usd-day"): (100, 0, 0, 0)}
    await move(acme, "acme/alice", "acme")
    assert await acme.balance("acme/session") == {}
    assert await acme.differences() == []


async def test_every_process_knows_the_new_place_at_once(acme, start_authority):
    _, other = await start_authority()
    await other.reserve("acme/alice", {"USD": 100})
    await move(acme, "acme/alice", "acme/blue")
    await other.reserve("acme/alice", {"USD": 100})
    await refused(other.reserve("acme/alice", {"USD": 1}))


async def test_open_reservations_stay_where_they_were_made(acme):
    committed, released, extended = [
        (await acme.reserve("acme/alice", {"USD": 20})).reservation.reservation_id for _ in range(3)
    ]
    await move(acme, "acme/alice", "acme/blue")
    await acme.commit(committed, {"USD": 25})
    await acme.refund(committed, {"USD": 1})
    await acme.release(released)
    await acme.extend(extended, {"USD": 10})
    assert await acme.balance("acme/red") == {("acme/red", "usd-day"): (30, 25, 1, 46)}
    assert await acme.balance("acme/blue") == {("acme/blue", "usd-day"): (0, 0, 0, 100)}
    assert await acme.differences() == []


async def test_what_was_granted_above_stays_there(acme):
    grant = await acme.grant("acme/red", "CREDITS", 100)
    held = (await acme.reserve("acme/alice", {"CREDITS": 40})).reservation.reservation_id
    await move(acme, "acme/alice", "acme/blue")
    await acme.commit(held, {"CREDITS": 30})
    assert (await acme.get_grant(grant.grant_id)).committed == 30
    # Not granted any more, and not budgeted here.
    await refused(acme.reserve("acme/alice", {"CREDITS": 1}))
    assert await acme.differences() == []


async def test_nothing_is_moved_below_itself(acme):
    for place in ("acme/alice", "acme/session"):
        assert await invalid(move(acme, "acme/alice", place)) == ["account.parent"]
    assert await invalid(move(acme, "acme/red", "acme/session")) == ["account.parent"]
    assert await parents(acme) == {
        "acme": "platform",
        "acme/alice": "acme/red",
        "acme/blue": "acme",
        "acme/red": "acme",
        "acme/session": "acme/alice",
    }


async def test_a_place_that_is_not_there(acme):
    for account, place in (("acme/alice", "acme/nobody"), ("acme/nobody", "acme/red")):
        refusal = await refused(move(acme, account, place))
        assert refusal.code == "NOT_FOUND"
        assert refusal.metadata["resource_name"] == "acme/nobody"


async def test_a_tenant_stays_below_the_platform(acme):
    assert (await move(acme, "acme", "platform")).parent == "platform"
    for place in ("", "acme/red", "globex", "acme"):
        assert await invalid(move(acme, "acme", place)) == ["account.parent"]


async def test_levels_have_an_end_for_all_that_is_moved(acme):
    place = "acme/blue"
    for level in range(3, 7):
        await acme.account(f"acme/level-{level}", parent=place)
        place = f"acme/level-{level}"
    # At level 7 alice would have her session at level 8, and nothing below that.
    await move(acme, "acme/alice", place)
    assert await invalid(acme.account("acme/x", parent="acme/session")) == ["account.parent"]
    await move(acme, "acme/alice", "acme")
    await acme.account("acme/request", parent="acme/session")
    assert await invalid(move(acme, "acme/alice", place)) == ["account.parent"]
    await move(acme, "acme/session", place)


async def test_moves_at_once_make_no_cycle(acme, start_authority):
    _, other = await start_authority()
    ring = ["acme/red", "acme/blue", "acme/alice"]
    for _ in range(8):
        for account in ring:
            await move(acme, account, "acme")
        # Each below the next one: the last of the three would close the ring.
        answers = await outcomes(
            move(stubs, account, ring[place - 1])
            for place, (stubs, account) in enumerate(zip((acme, other, acme), ring, strict=True))
        )
        assert sorted(answers) == [[], [], ["account.parent"]]
        assert await levels(acme) in (4, 5)


async def test_what_comes_at_once_does_not_pass_the_last_level(acme, start_authority):
    _, other = await start_authority()
    place = "acme/blue"
    for level in range(3, 7):
        await acme.account(f"acme/level-{level}", parent=place)
        place = f"acme/level-{level}"
    for number in range(8):
        await move(acme, "acme/alice", "acme")
        # With alice at level 7 her session is at level 8, and nothing may be below that.
        answers = await outcomes(
            [
                move(acme, "acme/alice", place),
                other.account(f"acme/request-{number}", parent="acme/session"),
            ]
        )
        assert sorted(answers) == [[], ["account.parent"]]
        assert await levels(acme) <= 8
        if not answers[1]:
            await move(acme, f"acme/request-{number}", "acme")
