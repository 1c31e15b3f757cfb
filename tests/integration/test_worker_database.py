"""The workers' connections to Postgres."""

from __future__ import annotations

import pytest

from generating import insert_generation
from workers.database import DatabaseAway, make_pool, transaction


async def test_a_transaction_that_freezes_locks_nobody_out_for_long(ledger_url, monkeypatch):
    monkeypatch.setattr("workers.database._IDLE_TIMEOUT", "200ms")
    generation_id = await insert_generation(ledger_url)
    update = "UPDATE generation SET stage = %s WHERE generation_id = %s"
    pool = make_pool(ledger_url, size_max=2)
    await pool.open()

    async def freeze():
        async with transaction(pool) as frozen:
            await frozen.execute(update, ["frozen", generation_id])
            async with transaction(pool) as other:
                # It waits for the lock, until the one that does nothing more is cut off.
                await other.execute(update, ["other", generation_id])
            await frozen.execute("SELECT 1")

    with pytest.raises(DatabaseAway):
        await freeze()
    async with transaction(pool) as connection:
        row = await (await connection.execute("SELECT stage FROM generation")).fetchone()
    assert row == {"stage": "other"}
    await pool.close()
