"""The pools of connections to Postgres."""

from __future__ import annotations

import os
import socket

import pytest

from authority.ledger.database import make_pool as ledger_pool
from workers.database import make_pool as workers_pool


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has none")
@pytest.mark.parametrize("make_pool", [ledger_pool, workers_pool], ids=["ledger", "workers"])
async def test_a_host_that_is_gone_without_a_word_is_found_out_within_ten_seconds(
    database_url, make_pool
):
    pool = make_pool(database_url, size_max=1)
    await pool.open()
    async with pool.connection() as connection:
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as tcp:
            assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            unanswered_ms = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            idle = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            interval = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            count = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
    await pool.close()
    assert unanswered_ms == 10_000
    assert idle + count * interval <= 10
