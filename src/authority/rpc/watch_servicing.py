"""BudgetService: balances that are watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from authority.domain.errors import Unavailable
from authority.domain.ids import tenant_of
from authority.rpc.convert import account_balance_to_proto
from authority.rpc.requests import Reader
from authority.usecases.context import Context
from authority.usecases.read import get_balance
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc

# How often a watched balance is read from the hot store, and its limits from the ledger.
POLL_SECONDS = 0.25
POLICY_SECONDS = 1.0
# Of this process: what they read of the hot store together is a small part of what it can do.
WATCHERS_MAX = 200

Call = grpc.aio.ServicerContext[Any, Any]


class Watchers:
    """Counts who watches, and when the policies that they need were last read."""

    def __init__(self) -> None:
        self.count = 0
        self._read_at: dict[str, float] = {}

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the length of a block. Raises Unavailable."""
        if self.count >= WATCHERS_MAX:
            raise Unavailable(
                f"This process has {WATCHERS_MAX} watchers already; try again, or use GetBalance."
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._read_at.clear()

    def is_policy_due(self, tenant: str) -> bool:
        """Say whether it is time to read a tenant's policy, and take it as read."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at.get(tenant, -POLICY_SECONDS) < POLICY_SECONDS:
            return False
        self._read_at[tenant] = now
        return True


class WatchServicing(budget_service_pb2_grpc.BudgetServiceServicer):
    """The part of BudgetService that is about watching."""

    _context: Context
    _draining: asyncio.Event
    _watchers: Watchers

    async def WatchBalance(
        self, request: messages.WatchBalanceRequest, context: Call
    ) -> AsyncIterator[messages.WatchBalanceResponse]:
        reader = Reader()
        account = reader.account(request.account)
        reader.finish()
        shown: bytes | None = None
        with self._watchers.place():
            while not self._draining.is_set():
                due = self._watchers.is_policy_due(tenant_of(account))
                balance = account_balance_to_proto(
                    await get_balance(self._context, account, renew=due)
                )
                compared = messages.GetBalanceResponse()
                compared.CopyFrom(balance)
                compared.ClearField("read_time")
                seen = compared.SerializeToString(deterministic=True)
                if seen != shown:
                    shown = seen
                    yield messages.WatchBalanceResponse(balance=balance)
                await self._pause()
        raise Unavailable("The authority is about to stop; watch another process.")

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._draining.wait()
        except TimeoutError:
            pass
