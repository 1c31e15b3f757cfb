"""BudgetService: hands each call to its operation. Errors are turned into statuses elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from authority.rpc.batch_servicing import BatchServicing
from authority.rpc.convert import account_balance_to_proto, reservation_to_proto
from authority.rpc.operations import Operations
from authority.rpc.outcomes import Outcomes
from authority.rpc.requests import Reader
from authority.rpc.session_servicing import SessionServicing
from authority.rpc.watch_servicing import Watchers, WatchServicing
from authority.usecases.context import Context
from authority.usecases.read import get_balance, get_reservation
from authority.v1 import budget_service_pb2 as messages

Call = grpc.aio.ServicerContext[Any, Any]


class BudgetServicer(BatchServicing, SessionServicing, WatchServicing):
    """The budget authority over gRPC.

    Once `draining` is set, streams end when what was begun in them is answered.
    """

    def __init__(self, context: Context, operations: Operations, draining: asyncio.Event) -> None:
        self._context = context
        self._operations = operations
        self._outcomes = Outcomes()
        self._draining = draining
        self._watchers = Watchers()

    async def Reserve(
        self, request: messages.ReserveRequest, context: Call
    ) -> messages.ReserveResponse:
        return await self._operations.reserve(request)

    async def Commit(
        self, request: messages.CommitRequest, context: Call
    ) -> messages.CommitResponse:
        return await self._operations.commit(request)

    async def Release(
        self, request: messages.ReleaseRequest, context: Call
    ) -> messages.ReleaseResponse:
        return await self._operations.release(request)

    async def Refund(
        self, request: messages.RefundRequest, context: Call
    ) -> messages.RefundResponse:
        return await self._operations.refund(request)

    async def Extend(
        self, request: messages.ExtendRequest, context: Call
    ) -> messages.ExtendResponse:
        return await self._operations.extend(request)

    async def Adjust(
        self, request: messages.AdjustRequest, context: Call
    ) -> messages.AdjustResponse:
        return await self._operations.adjust(request)

    async def GetReservation(
        self, request: messages.GetReservationRequest, context: Call
    ) -> messages.GetReservationResponse:
        reader = Reader()
        reservation_id = reader.reservation_id(request.reservation_id)
        reader.finish()
        found = await get_reservation(self._context, reservation_id)
        return messages.GetReservationResponse(reservation=reservation_to_proto(found))

    async def GetBalance(
        self, request: messages.GetBalanceRequest, context: Call
    ) -> messages.GetBalanceResponse:
        reader = Reader()
        account = reader.account(request.account)
        reader.finish()
        return account_balance_to_proto(await get_balance(self._context, account))
