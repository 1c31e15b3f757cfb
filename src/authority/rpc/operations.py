"""The operations as the proto has them: shared by unary calls, batches and sessions."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from authority.domain.ids import tenant_of
from authority.domain.money import AMOUNT_MAX
from authority.rpc.convert import reservation_fields
from authority.rpc.denials import denial_message
from authority.rpc.intake import Intake
from authority.rpc.requests import (
    REASON_LENGTH_MAX,
    Reader,
    read_commit,
    read_extend,
    read_reserve,
)
from authority.usecases.adjust import adjust
from authority.usecases.context import Context
from authority.usecases.decide import Answer
from authority.usecases.locate import Locator
from authority.usecases.reserve import limiting_windows, reserve
from authority.usecases.settle import commit_reservation, extend, refund, release
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import errors_pb2


class Operations:
    """Reads a request, runs its use case in its tenant's turn, and writes the answer.

    Every method raises the errors of its use case, InvalidRequest, and Unavailable when there is
    too much to do. Whoever calls one sees to it that it is not cancelled.
    """

    def __init__(self, context: Context, locator: Locator, intake: Intake) -> None:
        self._context = context
        self._locator = locator
        self._intake = intake

    async def reserve(self, request: messages.ReserveRequest) -> messages.ReserveResponse:
        """Set an amount aside."""
        wanted = read_reserve(request)
        answer = await self._run(wanted.account, reserve(self._context, self._locator, wanted))
        held = _held(answer)
        if request.mode == messages.RESERVE_MODE_CHECK_ONLY:
            for field in ("reservation_id", "state", "create_time", "expire_time"):
                del held[field]
        return messages.ReserveResponse(
            reservation=held, replayed=answer.replayed, passed_over=await self._passed_over(answer)
        )

    async def commit(self, request: messages.CommitRequest) -> messages.CommitResponse:
        """Settle a reservation with its actual cost."""
        wanted = read_commit(request)
        work = commit_reservation(self._context, self._locator, wanted)
        answer = await self._run(wanted.reservation_id, work)
        return messages.CommitResponse(reservation=_held(answer), replayed=answer.replayed)

    async def release(self, request: messages.ReleaseRequest) -> messages.ReleaseResponse:
        """Give a reservation back."""
        reader = Reader()
        key = reader.key(request.idempotency_key)
        reservation_id = reader.reservation_id(request.reservation_id)
        reason = reader.text("reason", request.reason, REASON_LENGTH_MAX)
        reader.finish()
        work = release(self._context, self._locator, key, reservation_id, reason)
        answer = await self._run(reservation_id, work)
        return messages.ReleaseResponse(reservation=_held(answer), replayed=answer.replayed)

    async def refund(self, request: messages.RefundRequest) -> messages.RefundResponse:
        """Give a charge back."""
        reader = Reader()
        key = reader.key(request.idempotency_key)
        reservation_id = reader.reservation_id(request.reservation_id)
        legs = reader.legs("legs", request.legs, least=1)
        reason = reader.text("reason", request.reason, REASON_LENGTH_MAX)
        reader.finish()
        work = refund(self._context, self._locator, key, reservation_id, legs, reason)
        answer = await self._run(reservation_id, work)
        return messages.RefundResponse(reservation=_held(answer), replayed=answer.replayed)

    async def extend(self, request: messages.ExtendRequest) -> messages.ExtendResponse:
        """Let a reservation live longer, and hold more."""
        wanted = read_extend(request)
        work = extend(self._context, self._locator, wanted)
        answer = await self._run(wanted.reservation_id, work)
        return messages.ExtendResponse(reservation=_held(answer), replayed=answer.replayed)

    async def adjust(self, request: messages.AdjustRequest) -> messages.AdjustResponse:
        """Correct what an account was charged."""
        reader = Reader()
        key = reader.key(request.idempotency_key)
        account = reader.account(request.account)
        legs = reader.legs("legs", request.legs, least=-AMOUNT_MAX)
        if not legs or any(leg.amount == 0 for leg in legs):
            reader.wrong("legs", "must have 1 to 8 legs, none of them 0")
        reason = reader.text("reason", request.reason, REASON_LENGTH_MAX)
        if not reason:
            reader.wrong("reason", "must say why")
        reader.finish()
        answer = await self._run(account, adjust(self._context, key, account, legs, reason))
        return messages.AdjustResponse(
            operation_id=answer.operation.operation_id, replayed=answer.replayed
        )

    async def _passed_over(self, answer: Answer) -> errors_pb2.Denial | None:
        operation = answer.operation
        if operation.passed is None:
            return None
        windows = await limiting_windows(self._context, operation.account, operation.passed)
        return denial_message(operation.account, operation.passed, windows)

    async def _run(self, name: str, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a use case in the turn of the tenant that the name is of."""
        tenant = tenant_of(name)
        try:
            await self._intake.enter(tenant)
        except BaseException:
            work.close()
            raise
        try:
            return await work
        finally:
            self._intake.leave(tenant)


def _held(answer: Answer) -> Any:
    assert answer.operation.reservation is not None
    return reservation_fields(answer.operation.reservation)
