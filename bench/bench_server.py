"""`python -m bench.bench_server`: a gRPC server beside the product's, on uvloop as that is.

It has an RPC that does nothing, and Reserve and Commit as they are mostly written: a transaction
that locks the account's row with SELECT FOR UPDATE. It has no interceptor. What it is told comes as
one line of JSON; it says its port, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

import grpc
import uvloop
from psycopg_pool import AsyncConnectionPool

from authority.v1 import budget_service_pb2 as messages
from authority.v1 import resources_pb2
from bench.children import say

POOL_SIZE = 32
_SERVICE = "bench.Bench"


async def _nothing(_request: bytes, _context: object) -> bytes:
    return b""


class Locking:
    """Budgets by SELECT FOR UPDATE."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def reserve(
        self, request: messages.ReserveRequest, _context: object
    ) -> messages.ReserveResponse:
        """Hold an amount of one account's budget."""
        amount = request.options[0].legs[0].amount
        reservation_id = str(uuid.uuid4())
        # Users are numbered in all tables.
        account = str(int(request.account.rpartition("u")[2]))
        async with self._pool.connection() as connection, connection.transaction():
            found = await connection.execute(
                "SELECT limit_amount, reserved, committed FROM plain_account WHERE account = %s "
                "FOR UPDATE",
                [account],
            )
            row = await found.fetchone()
            assert row is not None, request.account
            assert sum(row[1:]) + amount <= row[0], "the budget is spent"
            await connection.execute(
                "UPDATE plain_account SET reserved = reserved + %s WHERE account = %s",
                [amount, account],
            )
            await connection.execute(
                "INSERT INTO plain_reservation (reservation_id, account, amount) "
                "VALUES (%s, %s, %s)",
                [reservation_id, account, amount],
            )
        held = resources_pb2.Reservation(reservation_id=reservation_id, account=request.account)
        return messages.ReserveResponse(reservation=held)

    async def commit(
        self, request: messages.CommitRequest, _context: object
    ) -> messages.CommitResponse:
        """Settle it."""
        actual = request.actual[0].amount
        async with self._pool.connection() as connection, connection.transaction():
            found = await connection.execute(
                "SELECT account, amount FROM plain_reservation WHERE reservation_id = %s "
                "FOR UPDATE",
                [request.reservation_id],
            )
            row = await found.fetchone()
            assert row is not None, request.reservation_id
            await connection.execute(
                "SELECT 1 FROM plain_account WHERE account = %s FOR UPDATE", [row[0]]
            )
            await connection.execute(
                "UPDATE plain_account SET reserved = reserved - %s, committed = committed + %s "
                "WHERE account = %s",
                [row[1], actual, row[0]],
            )
            await connection.execute(
                "UPDATE plain_reservation SET committed = %s WHERE reservation_id = %s",
                [actual, request.reservation_id],
            )
        held = resources_pb2.Reservation(reservation_id=request.reservation_id, account=row[0])
        return messages.CommitResponse(reservation=held)


def _handlers(pool: AsyncConnectionPool | None) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Nothing": grpc.unary_unary_rpc_method_handler(_nothing)
    }
    if pool is not None:
        locking = Locking(pool)
        handlers["Reserve"] = grpc.unary_unary_rpc_method_handler(
            locking.reserve,
            request_deserializer=messages.ReserveRequest.FromString,
            response_serializer=messages.ReserveResponse.SerializeToString,
        )
        handlers["Commit"] = grpc.unary_unary_rpc_method_handler(
            locking.commit,
            request_deserializer=messages.CommitRequest.FromString,
            response_serializer=messages.CommitResponse.SerializeToString,
        )
    return handlers


async def serve() -> None:
    """Serve until the harness closes the pipe."""
    told = json.loads(await asyncio.to_thread(sys.stdin.readline))
    pool = None
    if url := told.get("database_url"):
        pool = AsyncConnectionPool(url, min_size=POOL_SIZE, max_size=POOL_SIZE, open=False)
        await pool.open(wait=True)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    handler = grpc.method_handlers_generic_handler(_SERVICE, _handlers(pool))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"127.0.0.1:{told.get('port', 0)}")
    await server.start()
    say({"port": port})
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)
    if pool is not None:
        await pool.close()


if __name__ == "__main__":
    uvloop.run(serve())
