"""BudgetService: hands each call to its operation. Errors are turned into statuses elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc

from authority.domain.ids import PLATFORM
from authority.domain.reservations import ReservationState
from authority.rpc.batch_servicing import BatchServicing
from authority.rpc.convert import account_balance_to_proto, reservation_to_proto
from authority.rpc.intake import Bursts
from authority.rpc.operations import Operations
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader, enum_name
from authority.rpc.session_servicing import SessionServicing
from authority.rpc.shield import Shield
from authority.rpc.watch_servicing import Watchers, WatchServicing
from authority.usecases.context import Context
from authority.usecases.past import Past
from authority.usecases.read import get_balance, get_reservation
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import resources_pb2

Call = grpc.aio.ServicerContext[Any, Any]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class BudgetServicer(BatchServicing, SessionServicing, WatchServicing):
    """The budget authority over gRPC.

    Once `draining` is set, streams end when what was begun in them is answered.
    """

    def __init__(
        self,
        context: Context,
        operations: Operations,
        past: Past,
        shield: Shield,
        draining: asyncio.Event,
    ) -> None:
        self._context = context
        self._past = past
        self._operations = operations
        self._shield = shield
        self._bursts = Bursts()
        self._draining = draining
        self._watchers = Watchers()

    async def Reserve(
        self, request: messages.ReserveRequest, context: Call
    ) -> messages.ReserveResponse:
        return await self._run(self._operations.reserve, request)

    async def Commit(
        self, request: messages.CommitRequest, context: Call
    ) -> messages.CommitResponse:
        return await self._run(self._operations.commit, request)

    async def Release(
        self, request: messages.ReleaseRequest, context: Call
    ) -> messages.ReleaseResponse:
        return await self._run(self._operations.release, request)

    async def Refund(
        self, request: messages.RefundRequest, context: Call
    ) -> messages.RefundResponse:
        return await self._run(self._operations.refund, request)

    async def Extend(
        self, request: messages.ExtendRequest, context: Call
    ) -> messages.ExtendResponse:
        return await self._run(self._operations.extend, request)

    async def Adjust(
        self, request: messages.AdjustRequest, context: Call
    ) -> messages.AdjustResponse:
        return await self._run(self._operations.adjust, request)

    async def _run(
        self, operation: Callable[[_Request], Coroutine[Any, Any, _Response]], request: _Request
    ) -> _Response:
        """Run a unary call's operation to its end, whether or not its caller stays."""
        async with self._bursts:
            return await self._shield.run(operation(request))

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
        account = reader.account(request.account, or_platform=True)
        moment_ms = reader.time("as_of_time", request)
        if account == PLATFORM and moment_ms:
            reader.wrong("as_of_time", "must not be set for `platform`: its balance is of now")
        reader.finish()
        if moment_ms:
            return account_balance_to_proto(await self._past.balance(account, moment_ms))
        return account_balance_to_proto(await get_balance(self._context, account))

    async def ListReservations(
        self, request: messages.ListReservationsRequest, context: Call
    ) -> messages.ListReservationsResponse:
        reader = Reader()
        account = reader.account(request.account)
        state = None
        if request.state:
            name = enum_name(resources_pb2.ReservationState, request.state)
            state = reader.word("state", "RESERVATION_STATE", name, ReservationState, None)
        size = reader.page_size(request.page_size)
        latest_first = reader.is_descending(request.order_by, "create_time", default=True)
        reader.finish()
        scope = ["reservations", account, state or "", str(latest_first)]
        create_ms, last_id = read_page_token(request.page_token, scope, ["", ""])
        after = (page_number(create_ms), last_id) if create_ms else None
        rows = await self._past.reservations(
            account, state, after, size + 1, latest_first=latest_first
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = make_page_token(scope, [str(page[-1].create_ms), page[-1].reservation_id])
        return messages.ListReservationsResponse(
            reservations=map(reservation_to_proto, page), next_page_token=more
        )
