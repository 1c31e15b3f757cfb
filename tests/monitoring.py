"""What scripts do to a hot store, as its MONITOR tells it."""

from __future__ import annotations

import ast
import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from support import eventually

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass
class Run:
    """One run of a script: its hash, its keys, and the commands that it gave."""

    sha: str
    keys: list[str]
    commands: list[list[str]] = field(default_factory=list)


class Monitor:
    """Notes every run of a script on a server, whoever asked for it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._runs: list[Run] = []
        self._marks: set[str] = set()

    async def follow(self, connection) -> None:
        """Take down what the server says until cancelled."""
        while True:
            line = await connection.read_response()
            # [database client], or [database lua] for a command that a script gives.
            origin = line[line.index("[") : line.index("]")]
            words = [_unquoted(word) for word in _WORD.findall(line)]
            match words[0].upper(), words[1:]:
                case _ if origin.endswith(" lua"):
                    self._runs[-1].commands.append(words)
                case "EVALSHA", [sha, count, *rest]:
                    self._runs.append(Run(sha, rest[: int(count)]))
                case "EVAL", [script, count, *rest]:
                    self._runs.append(Run(script, rest[: int(count)]))
                case "ECHO", [mark]:
                    self._marks.add(mark)

    async def runs(self) -> list[Run]:
        """Return every run until now, in order."""
        mark = uuid.uuid4().hex
        await self._redis.echo(mark)
        await eventually(lambda: mark in self._marks)
        return list(self._runs)

    async def touched(self, run: Run) -> set[str]:
        """Return the keys that a run touched, declared or not."""
        keys: set[str] = set()
        for command in run.commands:
            if len(command) > 1:  # TIME has nothing to name a key with
                keys.update(await self._redis.command_getkeys(*command))
        return keys

    async def undeclared(self, runs: Collection[Run]) -> dict[str, set[str]]:
        """Return the keys that runs touched without declaring them, by the script's hash."""
        found: dict[str, set[str]] = {}
        for run in runs:
            if more := await self.touched(run) - set(run.keys):
                found.setdefault(run.sha, set()).update(more)
        return found


@asynccontextmanager
async def monitoring(url: str) -> AsyncIterator[Monitor]:
    """Note what scripts do on a server for a while."""
    async with Redis.from_url(url, decode_responses=True) as redis:
        connection = await redis.connection_pool.get_connection()
        await connection.send_command("MONITOR")
        assert await connection.read_response() == "OK"
        monitor = Monitor(redis)
        following = asyncio.create_task(monitor.follow(connection))
        try:
            yield monitor
        finally:
            following.cancel()
            await asyncio.wait([following])
            await connection.disconnect()


def _unquoted(word: str) -> str:
    return ast.literal_eval(f"b{word}").decode()
