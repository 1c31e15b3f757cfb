"""BudgetService: reads requests, runs use cases, writes answers."""

from __future__ import annotations

from typing import Any

import grpc

from authority.rpc.convert import balance_to_proto, reservation_to_proto, set_time
from authority.rpc.requests import REASON_LENGTH_MAX, Reader, read_reserve
from authority.rpc.shield import Shield
from authority.usecases.context import Context
from authority.usecases.decide import Answer
from authority.usecases.locate import Locator
from authority.usecases.read import get_balance, get_reservation
from authority.usecases.reserve import reserve
from authority.usecases.settle import commit_reservation, refund, release
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc, resources_pb2

Call = grpc.aio.ServicerContext[Any, Any]


class BudgetServicer(budget_service_pb2_grpc.BudgetServiceServicer):
    """The budget authority over gRPC. Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(self, context: Context, locator: Locator, shield: Shield) -> None:
        self._context = context
        self._locator = locator
        self._shield = shield

    async def Reserve(
        self, request: messages.ReserveRequest, context: Call
    ) -> messages.ReserveResponse:
        answer = await self._shield.run(
            reserve(self._context, self._locator, read_reserve(request))
        )
        return messages.ReserveResponse(reservation=_held(answer), replayed=answer.replayed)

    async def Commit(
        self, request: messages.CommitRequest, context: Call
    ) -> messages.CommitResponse:
        reader = Reader()
        key = reader.key(request.idempotency_key)
        reservation_id = reader.reservation_id(request.reservation_id)
        actual = reader.legs("actual", request.actual, least=0)
        reader.finish()
        answer = await self._shield.run(
            commit_reservation(self._context, self._locator, key, reservation_id, actual)
        )
        return messages.CommitResponse(reservation=_held(answer), replayed=answer.replayed)

    async def Release(
        self, request: messages.ReleaseRequest, context: Call
    ) -> messages.ReleaseResponse:
        reader = Reader()
        key = reader.key(request.idempotency_key)
        reservation_id = reader.reservation_id(request.reservation_id)
        reason = reader.text("reason", request.reason, REASON_LENGTH_MAX)
        reader.finish()
        answer = await self._shield.run(
            release(self._context, self._locator, key, reservation_id, reason)
        )
        return messages.ReleaseResponse(reservation=_held(answer), replayed=answer.replayed)

    async def Refund(
        self, request: messages.RefundRequest, context: Call
    ) -> messages.RefundResponse:
        reader = Reader()
        key = reader.key(request.idempotency_key)
        reservation_id = reader.reservation_id(request.reservation_id)
        legs = reader.legs("legs", request.legs, least=1)
        reason = reader.text("reason", request.reason, REASON_LENGTH_MAX)
        reader.finish()
        answer = await self._shield.run(
            refund(self._context, self._locator, key, reservation_id, legs, reason)
        )
        return messages.RefundResponse(reservation=_held(answer), replayed=answer.replayed)

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
        balances, read_ms = await get_balance(self._context, account)
        response = messages.GetBalanceResponse(balances=map(balance_to_proto, balances))
        set_time(response.read_time, read_ms)
        return response


def _held(answer: Answer) -> resources_pb2.Reservation:
    assert answer.operation.reservation is not None
    return reservation_to_proto(answer.operation.reservation)
