"""How a load process does what it is told: one run after the other, in step with the harness.

Per run it hears a Work, says that it is ready, hears that it may go, says when it begins and when
it has ended to measure, and says what it did. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress

from bench.children import say
from bench.meter import Meter
from bench.work import Work

Step = Callable[[int, Meter], Awaitable[None]]
Kinds = Mapping[str, Callable[[Work], AbstractAsyncContextManager[Step]]]
"""What there is to do: each opens what it needs and yields the step that callers repeat."""

# Callers that fail at once, again and again, would keep the processor from all others.
_FAILURES_MAX = 1000


async def run(kinds: Kinds, work: Work) -> None:
    """Do one run, in step with the harness."""
    meter = Meter()
    async with kinds[work.kind](work) as step:
        say({"event": "ready"})
        await asyncio.to_thread(sys.stdin.readline)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            callers = [
                group.create_task(_call(work, caller, step, meter, over))
                for caller in range(work.callers)
            ]
            if work.warm_up:
                await asyncio.sleep(work.warm_up)
            meter.start()
            say({"event": "measuring"})
            # Callers that have nothing left to ask end the run.
            await asyncio.wait(callers, timeout=work.seconds)
            meter.stop()
            say({"event": "measured"})
            over.set()
    say({"event": "done", **meter.result()})


async def _call(work: Work, caller: int, step: Step, meter: Meter, over: asyncio.Event) -> None:
    """Be one caller until the run is over."""
    interval = work.callers / work.rate if work.rate else 0.0
    due = time.perf_counter() + interval * caller / work.callers
    while not over.is_set():
        if interval:
            with suppress(TimeoutError):
                async with asyncio.timeout(due - time.perf_counter()):
                    await over.wait()
                    return
            due += interval
        try:
            await step(caller, meter)
        except StopAsyncIteration:
            return
        except Exception as error:  # noqa: BLE001 - counted, and shown with the result
            meter.failed(error)
            if meter.failures.total() > _FAILURES_MAX:
                return


async def serve(kinds: Kinds) -> None:
    """Do what is told until the harness closes the pipe."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            await run(kinds, Work.decode(json.loads(line)))
        except Exception as error:  # noqa: BLE001 - the harness tells it
            say({"error": f"{type(error).__name__}: {error}"})
