"""The servers that are measured: embedded stores, authorities and a server beside them."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
from psycopg import AsyncConnection

from authority.embedded import EmbeddedPostgres, EmbeddedValkey
from authority.ledger.migrate import migrate
from bench.children import ROOT, Child

_START_SECONDS_MAX = 60
_END_SECONDS_MAX = 30
_POLL_SECONDS = 0.01
_PLAIN_DATABASE = "plain"


class AuthorityFailed(Exception):
    """An authority ended while it was starting."""


class Stores:
    """Postgres and Valkey from the wheels, as the product starts them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.postgres = EmbeddedPostgres(home / "postgres")
        self.valkey = EmbeddedValkey(home / "valkey")

    @property
    def plain_url(self) -> str:
        """A database of what people write themselves, on the same server."""
        return f"{self.postgres.url.rpartition('/')[0]}/{_PLAIN_DATABASE}"


@asynccontextmanager
async def running_stores(home: Path) -> AsyncIterator[Stores]:
    """Start both stores and make the schema."""
    stores = Stores(home)
    async with stores.postgres as postgres, stores.valkey:
        async with await AsyncConnection.connect(postgres.url, autocommit=True) as connection:
            # For those who do without an authority, each of whose workers has a connection.
            await connection.execute("ALTER SYSTEM SET max_connections = 300")
            await connection.execute(f"CREATE DATABASE {_PLAIN_DATABASE}")
        await postgres.stop()
        await postgres.start()
        await migrate(postgres.url)
        yield stores


class Authority:
    """`python -m authority`, a process of its own."""

    def __init__(self, process: Process, port: int, token: str) -> None:
        self.pid = process.pid
        self.port = port
        self.token = token

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def running_authority(
    stores: Stores, *, token: str, port: int = 0
) -> AsyncIterator[Authority]:
    """Start an authority and return it when it serves; others may have the port too.

    Raises AuthorityFailed.
    """
    name = f"authority-{secrets.token_hex(4)}"
    port_file, log_file = stores.home / f"{name}.port", stores.home / f"{name}.log"
    environment = {
        **os.environ,
        "DATABASE_URL": stores.postgres.url,
        "REDIS_URL": stores.valkey.url,
        "PAYMASTER_TOKEN": token,
        "PAYMASTER_ARTIFACTS": str(stores.home / "artifacts"),
        "AUTHORITY_PORT": str(port),
        "AUTHORITY_PORT_FILE": str(port_file),
        "AUTHORITY_REUSE_PORT": "true",
    }
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "authority", cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(_START_SECONDS_MAX):
            # The file is there, whole, once the port is listening.
            while not port_file.exists():
                if process.returncode is not None:
                    raise AuthorityFailed(log_file.read_text())
                await asyncio.sleep(_POLL_SECONDS)
        authority = Authority(process, int(port_file.read_text()), token)
        async with grpc.aio.insecure_channel(authority.address) as channel:
            await channel.channel_ready()
        yield authority
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS_MAX):
                await process.wait()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class BenchServer:
    """The server beside the product's."""

    def __init__(self, child: Child, port: int) -> None:
        self.pid = child.pid
        self.port = port

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def running_bench_server(
    *, database_url: str = "", port: int = 0
) -> AsyncIterator[BenchServer]:
    """Start the server that does nothing, and that locks rows if it has a database."""
    child = await Child.start("-m", "bench.bench_server")
    try:
        await child.tell({"database_url": database_url, "port": port})
        yield BenchServer(child, (await child.hear())["port"])
    finally:
        await child.close()
