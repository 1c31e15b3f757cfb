"""The pools of connections to Postgres."""

from __future__ import annotations

import pytest

from authority.ledger.database import make_pool as ledger_pool
from workers.database import make_pool as workers_pool


@pytest.mark.parametrize("make_pool", [ledger_pool, workers_pool], ids=["ledger", "workers"])
async def test_a_host_that_is_gone_without_a_word_is_found_out_within_ten_seconds(
    database_url, make_pool
):
    pool = make_pool(database_url, size_max=1)
    await pool.open()
    async with pool.connection() as connection:
        # What libpq was told; it does as much of it as the system can.
        options = connection.info.get_parameters()
    await pool.close()
    assert options["tcp_user_timeout"] == "10000"
    idle, interval, count = (
        int(options[f"keepalives_{name}"]) for name in ("idle", "interval", "count")
    )
    assert idle + interval * count <= 10
