"""Operations, sent in one of the three ways that there are: alone, batched, applied."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import grpc
from google.rpc import code_pb2

from authority.v1 import budget_service_pb2 as budget
from history import told

WAYS = ("unary", "batch", "apply")
_SECONDS = 3.0
# What grpc.aio itself, and no server, says of a session whose connection is cut as it begins.
_CUT = "Internal error from Core"
_BATCHED = {
    "reserve": ("BatchReserve", budget.BatchReserveRequest),
    "commit": ("BatchCommit", budget.BatchCommitRequest),
    "refund": ("BatchRefund", budget.BatchRefundRequest),
}
_UNKNOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}


class Item(NamedTuple):
    """One operation: the verb, and its request with its key."""

    verb: str
    request: object


class Answer(NamedTuple):
    """What came of one: `outcome` and `text` as in `history.Call`, and the reservation, if any."""

    outcome: str
    text: str = ""
    reservation: object = None


UNANSWERED = Answer("unknown")


async def send(stubs, way, items):
    """Send operations once; return an answer each, in their order."""
    if way == "apply" and all(item.verb != "adjust" for item in items):
        return await _apply(stubs, items)
    answers = [UNANSWERED] * len(items)
    groups = {}
    for number, item in enumerate(items):
        is_batched = way == "batch" and item.verb in _BATCHED
        groups.setdefault(item.verb if is_batched else number, []).append(number)
    async with asyncio.TaskGroup() as group:
        for name, numbers in groups.items():
            work = _batch if isinstance(name, str) else _unary
            group.create_task(work(stubs, items, numbers, answers))
    return answers


async def _unary(stubs, items, numbers, answers):
    (number,) = numbers
    verb, request = items[number]
    call = getattr(stubs.budget, verb.capitalize())
    try:
        answer = await call(request, metadata=stubs.metadata, timeout=_SECONDS)
    except grpc.aio.AioRpcError as error:
        answers[number] = _refusal(error.code().name, error.details())
    else:
        answers[number] = _done(answer)


async def _batch(stubs, items, numbers, answers):
    name, make = _BATCHED[items[numbers[0]].verb]
    request = make(requests=[items[number].request for number in numbers])
    try:
        found = await getattr(stubs.budget, name)(
            request, metadata=stubs.metadata, timeout=_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        for number in numbers:
            answers[number] = _refusal(error.code().name, error.details())
        return
    for number, result in zip(numbers, found.results, strict=True):
        answers[number] = _of_result(result, result.WhichOneof("result"))


async def _apply(stubs, items):
    answers = [UNANSWERED] * len(items)
    frame = budget.ApplyRequest()
    for number, (verb, request) in enumerate(items):
        operation = frame.operations.add(call_number=number)
        getattr(operation, verb).CopyFrom(request)
    call = stubs.budget.Apply(iter([frame]), metadata=stubs.metadata, timeout=_SECONDS)
    try:
        async for response in call:
            for result in response.results:
                answers[result.call_number] = _of_result(result, result.WhichOneof("result"))
    except grpc.aio.AioRpcError as error:
        end = _refusal(error.code().name, error.details())
        answers = [end if answer is UNANSWERED else answer for answer in answers]
    return answers


def _of_result(result, name):
    if name == "error":
        return _refusal(code_pb2.Code.Name(result.error.code), result.error.message)
    return _done(getattr(result, name))


def _done(answer):
    if isinstance(answer, budget.AdjustResponse):
        return Answer("acknowledged", answer.operation_id)
    return Answer("acknowledged", told(answer.reservation), answer.reservation)


def _refusal(code, message):
    if code in _UNKNOWN or message == _CUT:
        return Answer("unknown", f"{code}: {message}")
    return Answer("denied" if code == "RESOURCE_EXHAUSTED" else "refused", f"{code}: {message}")
