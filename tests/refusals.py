"""What a refused call says: its code, its reason and its details."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Self

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status


class Refusal:
    """A status other than OK, with its details."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.code = code_pb2.Code.Name(status.code)
        self.message = status.message
        self._status = status
        info = self.detail(error_details_pb2.ErrorInfo)
        assert info is not None, status
        self.reason, self.metadata, self.domain = info.reason, dict(info.metadata), info.domain

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Self:
        """Return what a call was refused with."""
        status = rpc_status.from_call(error)
        assert status is not None, error
        return cls(status)

    def detail(self, kind: Any) -> Any:
        """Return the detail of a kind, or None."""
        for packed in self._status.details:
            message = kind()
            if packed.Unpack(message):
                return message
        return None

    @property
    def fields(self) -> list[str]:
        """Return the fields that BadRequest names."""
        request = self.detail(error_details_pb2.BadRequest)
        return [violation.field for violation in request.field_violations] if request else []


async def refused(call: Any) -> Refusal:
    """Await a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    refusal = Refusal.of(error.value)
    assert refusal.domain == "paymaster"
    return refusal


async def invalid(call: Any) -> list[str]:
    """Await a call that must be INVALID_ARGUMENT; return the fields that are wrong."""
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    return refusal.fields


async def outcomes(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[list[str]]:
    """Make calls at once; return what was wrong with each, nothing where it was done."""

    async def outcome(call: Coroutine[Any, Any, Any]) -> list[str]:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.of(error)
            assert refusal.fields, error
            return refusal.fields
        return []

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(call)) for call in calls]
    return [task.result() for task in tasks]


def detail_of(status, kind):
    """Return a status's detail of a kind."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            packed.Unpack(detail)
            return detail
    return None
