"""BudgetService: many operations of one kind in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.rpc import status_pb2

from authority.domain.errors import InvalidRequest, OutOfTime
from authority.rpc.operations import Operations
from authority.rpc.outcomes import outcome_of
from authority.rpc.shield import Shield
from authority.rpc.status import status_of
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc

BATCH_MAX = 500
# Less than a call may take, so that one that hangs does not take the others' answers along.
_BATCH_SECONDS_MAX = 20.0

Call = grpc.aio.ServicerContext[Any, Any]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Result = TypeVar("_Result", messages.ReserveResult, messages.CommitResult, messages.RefundResult)


class BatchServicing(budget_service_pb2_grpc.BudgetServiceServicer):
    """The part of BudgetService that is about batches."""

    _operations: Operations
    _shield: Shield

    async def BatchReserve(
        self, request: messages.BatchReserveRequest, context: Call
    ) -> messages.BatchReserveResponse:
        results = await self._each(
            self._operations.reserve, request.requests, messages.ReserveResult
        )
        return messages.BatchReserveResponse(results=results)

    async def BatchCommit(
        self, request: messages.BatchCommitRequest, context: Call
    ) -> messages.BatchCommitResponse:
        results = await self._each(self._operations.commit, request.requests, messages.CommitResult)
        return messages.BatchCommitResponse(results=results)

    async def BatchRefund(
        self, request: messages.BatchRefundRequest, context: Call
    ) -> messages.BatchRefundResponse:
        results = await self._each(self._operations.refund, request.requests, messages.RefundResult)
        return messages.BatchRefundResponse(results=results)

    async def _each(
        self,
        operation: Callable[[_Request], Awaitable[_Response]],
        requests: Sequence[_Request],
        make: Callable[..., _Result],
    ) -> list[_Result]:
        """Run the operations at the same time, so that they share the journal's transactions."""
        if not 1 <= len(requests) <= BATCH_MAX:
            raise InvalidRequest.of(
                "requests", f"must have 1 to {BATCH_MAX} requests, not {len(requests)}"
            )
        tasks = [self._shield.start(outcome_of(operation, request)) for request in requests]
        await asyncio.wait(tasks, timeout=_BATCH_SECONDS_MAX)
        return [_result(task.result() if task.done() else _late(), make) for task in tasks]


def _late() -> status_pb2.Status:
    return status_of(
        OutOfTime("The operation took too long; the outcome is unknown. Ask again, same key.")
    )


def _result(outcome: object, make: Callable[..., _Result]) -> _Result:
    if isinstance(outcome, status_pb2.Status):
        return make(error=outcome)
    return make(response=outcome)
