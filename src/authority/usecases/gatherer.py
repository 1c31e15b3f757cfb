"""Lets what waits for the same tenant at the same moment travel as one call.

There is no timer: what comes while a call is in flight gathers for the next one, and what comes
while none is goes at once. Of much that waits only half goes with a call, so that the store works
on one half while the other is read, journalled and answered.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from authority.domain.errors import Unavailable

ITEMS_MAX = 128
# What a call costs by itself is spread thin by as many.
_WORTH_A_CALL = 32
# Each holds a connection. The store runs one script at a time, so more would only wait there.
_CALLS_MAX = 32

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class _Waiting(NamedTuple, Generic[ItemT, AnswerT]):
    item: ItemT
    answer: asyncio.Future[AnswerT]


class Gatherer(Generic[ItemT, AnswerT]):
    """Calls `send(tenant, items)`, which returns an answer for each item, or raises for all.

    One call is in flight for each tenant, and so one that floods holds up no other; its items keep
    the order in which they came. Nothing is ever sent twice.
    """

    def __init__(
        self,
        send: Callable[[str, Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
        *,
        calls_max: int = _CALLS_MAX,
    ) -> None:
        self._send = send
        self._turns = asyncio.Semaphore(calls_max)
        self._waiting: dict[str, deque[_Waiting[ItemT, AnswerT]]] = {}
        self._senders: set[asyncio.Task[None]] = set()

    async def answer(self, tenant: str, item: ItemT) -> AnswerT:
        """Return the answer of one item.

        Who is cancelled while the item waits takes it out; once it was sent it runs to its end. No
        other item is touched. Raises what `send` raised for the call that it was in.
        """
        future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(tenant)
        if waiting is None:
            waiting = self._waiting[tenant] = deque()
            sender = asyncio.create_task(self._send_waiting(tenant, waiting))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        waiting.append(_Waiting(item, future))
        return await future

    async def stop(self) -> None:
        """End what is under way; whoever waits is told."""
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        if senders:
            await asyncio.wait(senders)

    async def _send_waiting(self, tenant: str, waiting: deque[_Waiting[ItemT, AnswerT]]) -> None:
        """Send until nothing waits for the tenant any more."""
        try:
            while waiting:
                async with self._turns:
                    await self._send_some(tenant, waiting)
        finally:
            del self._waiting[tenant]
            _fail(waiting, Unavailable("The authority is being stopped; nothing was decided."))

    async def _send_some(self, tenant: str, waiting: deque[_Waiting[ItemT, AnswerT]]) -> None:
        sent: list[_Waiting[ItemT, AnswerT]] = []
        room = min(max(_WORTH_A_CALL, len(waiting) // 2), ITEMS_MAX)
        while waiting and len(sent) < room:
            if not waiting[0].answer.done():
                sent.append(waiting[0])
            waiting.popleft()
        if not sent:
            return
        try:
            answers = await self._send(tenant, [one.item for one in sent])
            for one, answer in zip(sent, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is raised to who waits
            _fail(sent, error)
        finally:
            _fail(sent, Unavailable("The authority is being stopped; the outcome is unknown."))


def _fail(items: Sequence[_Waiting[ItemT, AnswerT]], error: Exception) -> None:
    for one in items:
        if not one.answer.done():
            # Each gets its own: what raises an exception writes into it.
            mine = copy.copy(error)
            mine.__cause__ = error.__cause__
            one.answer.set_exception(mine)
