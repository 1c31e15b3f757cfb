"""What a call has come to, written down now and then for whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

INTERVAL_S = 1.0
# What ends sooner has nobody to tell.
DELAY_S_MAX = 0.25
STAGE_LENGTH_MAX = 60
PERCENT_MAX = 100

log = structlog.get_logger(__name__)


class Progress:
    """A provider's `on_progress`. It writes the latest news at most once in `interval_s`.

    A write that fails is left out: it is never worth the work.
    """

    def __init__(
        self, write: Callable[[str, int | None], Awaitable[None]], interval_s: float = INTERVAL_S
    ) -> None:
        self._write = write
        self._interval_s = interval_s
        self._latest: tuple[str, int | None] = ("", None)
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_over = False
        self._is_writing = False

    def __call__(self, stage: str, percent: int | None) -> None:
        """Take what the provider says."""
        line = "".join(c if c.isprintable() else " " for c in stage)[:STAGE_LENGTH_MAX]
        if percent is not None:
            percent = max(0, min(PERCENT_MAX, percent))
        if (line, percent) != self._latest:
            self._latest = line, percent
            self._news.set()

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_news())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None, "it was entered"
        self._is_over = True
        # To cancel a statement takes a connection more, and may come back as another error.
        if not self._is_writing:
            self._writer.cancel()
        await asyncio.wait([self._writer])

    async def _write_news(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(min(self._interval_s, DELAY_S_MAX))
            self._news.clear()
            self._is_writing = True
            try:
                await self._write(*self._latest)
            except Exception as error:  # noqa: BLE001  # No fault of this may end the work.
                log.warning("progress_unwritten", reason=type(error).__name__)
            finally:
                self._is_writing = False
            if self._is_over:
                return
            await asyncio.sleep(self._interval_s)
