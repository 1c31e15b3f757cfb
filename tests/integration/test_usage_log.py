"""The usage log: one event for each operation of use, and sums that equal it, whoever dies."""

from __future__ import annotations

from authority.ledger.usage_projection import UsageProjection

MICROS = 1_000_000


async def project(core):
    """Bring the log up to the ledger; return what was added."""
    projection = UsageProjection(core.database)
    added = []
    while tenants := await projection.behind(100):
        added += await projection.project(tenants, 1000)
    return added


async def rows(core, statement, **parameters):
    """Read rows past every rule."""
    return await core.database.rows(statement, parameters)


async def test_every_verb_leaves_its_event(core, stubs):
    await stubs.account("acme", display_name="Acme")
    await stubs.set_budget("acme", 10 * MICROS)
    labels = {
        "user": "ada",
        "kind": "image",
        "provider": "p",
        "model": "m",
        "size": "1x1",
        "quality": "q",
    }
    held = (await stubs.reserve("acme", {"USD": 1000, "IMAGES": 2}, labels=labels)).reservation
    await stubs.commit(held.reservation_id, {"USD": 400, "IMAGES": 1}, final=False)
    await stubs.commit(held.reservation_id, {"USD": 500, "IMAGES": 1})
    await stubs.refund(held.reservation_id, {"USD": 300})
    await project(core)
    found = await rows(core, "SELECT * FROM usage_event ORDER BY sequence")
    assert [row["outcome"] for row in found] == ["PART", "SUCCEEDED", "REFUNDED"]
