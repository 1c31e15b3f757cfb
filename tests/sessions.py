"""Sessions as the wire has them: frames of operations, and of results."""

from __future__ import annotations

import grpc

from authorities import legs_of, new_key
from authority.v1 import budget_service_pb2 as budget


class Session:
    """One Apply call."""

    def __init__(self, stubs):
        self.call = stubs.budget.Apply(metadata=stubs.metadata)

    async def send(self, *operations):
        await self.call.write(budget.ApplyRequest(operations=operations))

    async def results(self, count):
        """Return the next results by their numbers, and how many frames they came in."""
        found, frames = {}, 0
        while len(found) < count:
            frame = await self.call.read()
            assert frame is not grpc.aio.EOF, await self.call.code()
            frames += 1
            found |= {result.call_number: result for result in frame.results}
        return found, frames


def reserve(number, amount=1, key=None, account="acme", labels=None):
    return budget.ApplyOperation(
        call_number=number,
        reserve=budget.ReserveRequest(
            idempotency_key=key or new_key(),
            account=account,
            options=[budget.Option(legs=legs_of({"USD": amount}))],
            labels=labels,
        ),
    )
