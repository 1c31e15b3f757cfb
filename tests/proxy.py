"""A TCP proxy that can be told to be slow, to lose replies, to refuse and to cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK_BYTES = 65_536


class Proxy:
    """Listens on 127.0.0.1 for a server on the same address, and passes all on.

    A command holds for open connections and for new ones until the next command.
    """

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.port = port  # 0 until the start, where none is given; kept from then on
        self.dropped = 0  # replies that were lost so far
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.pass_on()

    def pass_on(self) -> None:
        """Pass all on, at once."""
        self._seconds, self._drops, self._refuses = 0.0, 0.0, False
        self._to, self._closes = b"", True

    def delay(self, seconds: float) -> None:
        """Pass on what is sent, in both directions, only after some time."""
        self.pass_on()
        self._seconds = seconds

    def drop_replies(
        self, count: float = float("inf"), *, to: bytes = b"", closes: bool = True
    ) -> None:
        """Pass on requests, lose what comes back and close; after some replies, pass all on.

        Only replies to requests that hold the word `to` are lost. Where nothing `closes`, whoever
        waits for them waits in vain.
        """
        self.pass_on()
        self._drops, self._to, self._closes = count, to, closes

    def refuse(self) -> None:
        """Cut all, and every new connection as soon as it is made."""
        self.pass_on()
        self._refuses = True
        self.cut()

    def cut(self) -> None:
        """Close every connection that is open."""
        for writer in self._open:
            writer.transport.abort()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and cut all. Start again on the same port."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self._refuses:
                # A target that is down looks like one that closes.
                with suppress(OSError):
                    await self._connect(reader, writer)
        finally:
            self._abort(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies, requests = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._open.add(requests)
        asked = bytearray()  # the last request
        pumps = {
            asyncio.create_task(self._pump(reader, requests, asked, is_reply=False)),
            asyncio.create_task(self._pump(replies, writer, asked, is_reply=True)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._abort(requests)
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: bytearray,
        *,
        is_reply: bool,
    ) -> None:
        """Pass on one direction until either side closes."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._seconds:
                    await asyncio.sleep(self._seconds)
                if not is_reply:
                    asked[:] = data
                elif self._drops and self._to in asked:
                    self._drops -= 1
                    self.dropped += 1
                    if self._closes:
                        return
                    continue
                writer.write(data)
                await writer.drain()
