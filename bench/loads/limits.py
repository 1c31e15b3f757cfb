"""What no budget authority on this machine can beat: a no-op RPC, the script alone, one fsync."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import grpc
import hiredis
from grpc_health.v1 import health_pb2
from psycopg import AsyncConnection

from bench.loads.transports import CALL_SECONDS, open_channels
from bench.meter import Meter
from bench.runner import Step
from bench.scripts import SCRATCH_DATABASE, Template
from bench.work import Work

# Cycles that one connection sends before it reads their answers.
_PIPELINE = 16
_WRITTEN_BYTES = 512
_READ_BYTES = 1 << 18


Nothing = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


@asynccontextmanager
async def nothing(work: Work) -> AsyncIterator[Step]:
    """Call the RPC that does nothing: no bytes in, no bytes out."""
    async with open_channels(work) as channels:
        methods: Iterator[Nothing] = itertools.cycle(
            [channel.unary_unary("/bench.Bench/Nothing") for channel in channels]
        )

        async def step(_caller: int, meter: Meter) -> None:
            started = time.perf_counter()
            await next(methods)(b"", timeout=CALL_SECONDS)
            meter.done("no-op", started)

        yield step


@asynccontextmanager
async def health(work: Work) -> AsyncIterator[Step]:
    """Ask the product how it is."""
    async with open_channels(work) as (channel,):
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

        async def step(_caller: int, meter: Meter) -> None:
            started = time.perf_counter()
            await check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
            meter.done("health", started)

        yield step


class _Connection:
    """A connection to Valkey that does nothing but write commands and count answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader()

    async def send(self, commands: bytes, count: int) -> None:
        """Send commands and read `count` answers. Raises the error that is among them."""
        self._writer.write(commands)
        while count:
            self._parser.feed(await self._reader.read(_READ_BYTES))
            while (answer := self._parser.gets()) is not False:
                count -= 1
                if isinstance(answer, Exception):
                    raise answer
                # The verdict comes first; a call of many items answers a list for each of them.
                verdict = answer
                while isinstance(verdict, list):
                    verdict = verdict[0]
                if verdict not in {b"DONE", b"OK"}:
                    raise RuntimeError(f"a script answered {verdict!r}")

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@asynccontextmanager
async def _connections(work: Work) -> AsyncIterator[list[_Connection]]:
    """Connect once for each caller to the database that holds copies."""
    url = urlsplit(work.redis_url)
    connections = []
    try:
        for _ in range(work.callers):
            streams = await asyncio.open_connection(url.hostname, url.port)
            connections.append(_Connection(*streams))
            await connections[-1].send(f"AUTH {url.password}\r\n".encode(), 1)
            await connections[-1].send(f"SELECT {SCRATCH_DATABASE}\r\n".encode(), 1)
        yield connections
    finally:
        for connection in connections:
            connection.close()


@asynccontextmanager
async def pipelines(work: Work) -> AsyncIterator[Step]:
    """Run the product's own scripts, many commands on their way at once."""
    template = Template([base64.b64decode(text) for text in work.templates])
    async with _connections(work) as connections:

        async def step(caller: int, meter: Meter) -> None:
            commands = b"".join(template.fresh() for _ in range(_PIPELINE))
            count = _PIPELINE * len(work.templates)
            started = time.perf_counter()
            await connections[caller].send(commands, count)
            meter.done("script", started, count=count)

        yield step


@asynccontextmanager
async def scripts(work: Work) -> AsyncIterator[Step]:
    """Run the product's own Reserve script, and wait for the answer."""
    template = Template([base64.b64decode(work.templates[0])])
    async with _connections(work) as connections:

        async def step(caller: int, meter: Meter) -> None:
            command = template.fresh()
            started = time.perf_counter()
            await connections[caller].send(command, 1)
            meter.done("script", started)

        yield step


@asynccontextmanager
async def fsyncs(work: Work) -> AsyncIterator[Step]:
    """Append to a file beside Postgres's data and bring it to the disk."""
    with tempfile.NamedTemporaryFile(dir=work.folder) as file:

        def write() -> None:
            os.write(file.fileno(), bytes(_WRITTEN_BYTES))
            os.fdatasync(file.fileno())

        async def step(_caller: int, meter: Meter) -> None:
            started = time.perf_counter()
            write()
            meter.done("fsync", started)
            await asyncio.sleep(0)

        yield step


@asynccontextmanager
async def commits(work: Work) -> AsyncIterator[Step]:
    """Commit one row at a time to Postgres, each caller by a connection of its own."""
    connections = [
        await AsyncConnection.connect(work.database_url, autocommit=True)
        for _ in range(work.callers)
    ]
    try:

        async def step(caller: int, meter: Meter) -> None:
            started = time.perf_counter()
            await connections[caller].execute("INSERT INTO plain_commit VALUES (%s)", [caller])
            meter.done("commit", started)

        yield step
    finally:
        for connection in connections:
            await connection.close()
