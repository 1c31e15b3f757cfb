"""Ctrl-C and SIGTERM for commands that run until they are stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from paymaster.cli.output import note
from paymaster.stack.stack import Stack

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_until_stopped(stack: Stack, work: Coroutine[Any, Any, None]) -> bool:
    """Run work that holds a stack; the first signal ends both in order, the next ones in a hurry.

    Returns whether a signal came. A stop that is under way is never cancelled: it would leave
    servers behind.
    """
    task = asyncio.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted or stack.stopping:
            stack.hurry.set()
            return
        interrupted = True
        task.cancel()
        # The terminal may be what has gone.
        with suppress(OSError):
            note("Stopping; once more to stop at once ...")

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return interrupted
