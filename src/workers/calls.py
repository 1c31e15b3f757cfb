"""One call of a provider, which somebody may want to stop while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from workers.providers.base import (
    CancellableProvider,
    Provider,
    ProviderRequest,
    ProviderResult,
)
from workers.providers.errors import ProviderError, TimeoutUnknown
from workers.steering import Steering

# How long the outcome of a job is waited for after its provider was asked to stop it.
STOP_S = 30.0

log = structlog.get_logger(__name__)


class Call:
    """A call that is to end when the work on its generation is to stop.

    What was begun may have to be paid, so that the outcome is waited for where it can be had: a job
    that the provider can be asked to stop, for a while; another call that was cancelled, to its
    end. At the deadline what can't be stopped is left alone.
    """

    def __init__(
        self, provider: Provider, order: ProviderRequest, steering: Steering, remote_id: str = ""
    ) -> None:
        self._provider = provider
        self._order = order
        self._steering = steering
        self._remote_id = remote_id
        self._submitted = asyncio.Event()
        if remote_id:
            self._submitted.set()

    def submitted(self, remote_id: str) -> None:
        """Say that the provider has accepted the job."""
        self._remote_id = remote_id
        self._submitted.set()

    async def outcome(self, work: Coroutine[Any, Any, ProviderResult]) -> ProviderResult:
        """Do the work of the call. Raises what it raises, and TimeoutUnknown."""
        task = asyncio.create_task(work)
        try:
            if await _comes_first(self._steering.stopped(), task):
                await self._stop(task)
            return await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            # Whatever it ended with then, nobody asks for it any more.
            _ = task.cancelled() or task.exception()

    async def _stop(self, task: asyncio.Task[ProviderResult]) -> None:
        """See to it that the work ends. Raises TimeoutUnknown if it does not."""
        provider, steering = self._provider, self._steering
        if isinstance(provider, CancellableProvider) and await _comes_first(
            self._submitted.wait(), task, STOP_S
        ):
            log.info("call_stopping", provider=provider.name, reason=steering.stop)
            try:
                await provider.cancel(self._order, self._remote_id)
            except ProviderError as error:
                log.warning("call_unstoppable", provider=provider.name, reason=error.reason)
        if self._remote_id:
            patience_s: float | None = STOP_S
        elif steering.deadline is not None:
            patience_s = max(0.0, steering.deadline - asyncio.get_running_loop().time())
        else:
            patience_s = None
        await asyncio.wait([task], timeout=patience_s)
        if not task.done():
            raise TimeoutUnknown(provider.name, "It was to stop, and no outcome came.")


async def _comes_first(
    event: Coroutine[Any, Any, object], task: asyncio.Task[Any], seconds_max: float | None = None
) -> bool:
    """Wait for an event, but no longer than for a task; say whether the event came before."""
    waiter = asyncio.create_task(event)
    try:
        await asyncio.wait([waiter, task], timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        return waiter.done() and not task.done()
    finally:
        waiter.cancel()
