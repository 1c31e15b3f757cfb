"""The past that the bench gives the ledger is one that the ledger has a place for."""

from __future__ import annotations

from psycopg import AsyncConnection

from bench.history import add_history


async def test_it_has_as_many_entries_as_asked_for_and_they_balance(ledger_url):
    await add_history(ledger_url, 800)
    async with await AsyncConnection.connect(ledger_url) as connection:
        found = await connection.execute(
            "SELECT count(*), sum(amount), count(DISTINCT date_trunc('month', create_time)) > 10"
            " FROM ledger_entry"
        )
        assert await found.fetchone() == (800, 0, True)
