"""Processes that the harness speaks with: a line of JSON each way."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_END_SECONDS_MAX = 10


class ChildFailed(Exception):
    """A process of the harness ended too early or says that it can't do what it was told."""


class Child:
    """A Python process of the harness. `hear` waits for it; nothing sleeps until it is ready."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(
        cls,
        *command: str,
        python: str | Path = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `python COMMAND...` in the folder that holds the package `bench`."""
        process = await asyncio.create_subprocess_exec(
            python,
            *command,
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "false", **(environment or {})},
        )
        return cls(" ".join(command), process)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        """Return the next line. Raises ChildFailed."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise ChildFailed(f"{self.name} ended with {code}")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise ChildFailed(f"{self.name}: {message['error']}")
        return message

    async def close(self) -> None:
        """Close its standard input, which tells it to end; kill it if it does not."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS_MAX):
                await self._process.wait()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def say(message: Mapping[str, Any]) -> None:
    """Send a line to the harness, from the child's side."""
    print(json.dumps(message), flush=True)
