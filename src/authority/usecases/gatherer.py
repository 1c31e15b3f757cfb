"""Lets what waits for the same tenant at the same moment travel as one call.

There is no timer: what comes while a call is in flight gathers for the next one, and what comes
while none is goes at once.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from authority.background import all_cancelled
from authority.domain.errors import Unavailable

ITEMS_MAX = 128
# What a call costs by itself is spread thin by as many.
_WORTH_A_CALL = 32
# Each holds a connection. The hot store runs one script at a time: more would only wait there.
_CALLS_MAX = 32
_STOPPED = "The authority is being stopped; "

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class _Waiting(NamedTuple, Generic[ItemT, AnswerT]):
    item: ItemT
    answer: asyncio.Future[AnswerT]


def half(waiting: int) -> int:
    """Let half of much go, so that the store works on it while the rest is read and answered."""
    return min(max(_WORTH_A_CALL, waiting // 2), ITEMS_MAX)


def everything(waiting: int) -> int:
    """Let all go that waits."""
    return waiting


class Gatherer(Generic[ItemT, AnswerT]):
    """Calls `send(tenant, items)`, which returns an answer for each item, or raises for all.

    One call is in flight for each tenant, `calls_max` for all of them; a tenant's items keep the
    order in which they came. `room` tells of how many that wait how many go. Nothing is ever sent
    twice.
    """

    def __init__(
        self,
        send: Callable[[str, Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
        *,
        calls_max: int = _CALLS_MAX,
        room: Callable[[int], int] = half,
    ) -> None:
        self._send = send
        self._room = room
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
        await all_cancelled(self._senders)
        # One that was cancelled before it began has told nobody.
        for waiting in self._waiting.values():
            _fail(waiting, Unavailable(_STOPPED + "nothing was decided."))
        self._waiting.clear()

    async def _send_waiting(self, tenant: str, waiting: deque[_Waiting[ItemT, AnswerT]]) -> None:
        """Send until nothing waits for the tenant any more."""
        try:
            while waiting:
                async with self._turns:
                    await self._send_some(tenant, waiting)
        finally:
            del self._waiting[tenant]
            _fail(waiting, Unavailable(_STOPPED + "nothing was decided."))

    async def _send_some(self, tenant: str, waiting: deque[_Waiting[ItemT, AnswerT]]) -> None:
        sent: list[_Waiting[ItemT, AnswerT]] = []
        room = self._room(len(waiting))
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
            _fail(sent, Unavailable(_STOPPED + "the outcome is unknown."))


def _fail(items: Sequence[_Waiting[ItemT, AnswerT]], error: Exception) -> None:
    for one in items:
        if not one.answer.done():
            # Each gets its own: what raises an exception writes into it.
            mine = copy.copy(error)
            mine.__cause__ = error.__cause__
            one.answer.set_exception(mine)
