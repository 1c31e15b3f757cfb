"""Helpers of the tests that are not fixtures."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from psycopg import AsyncConnection
from redis.asyncio import Redis

Result = TypeVar("Result")

_POLL_SECONDS = 0.01


async def eventually(
    condition: Callable[[], Result | Awaitable[Result]], seconds: float = 10
) -> Result:
    """Call a function, plain or async, until its result is true, and return that.

    An AssertionError that it raises means "not yet". Raises AssertionError when time is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        problem = None
        result = None
        try:
            outcome = condition()
            result = await outcome if inspect.isawaitable(outcome) else outcome
        except AssertionError as error:
            problem = error
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s, but {result!r}") from problem
        await asyncio.sleep(_POLL_SECONDS)


async def append(url: str) -> str:
    """Add a value to a list in Postgres or Valkey; return it when the server has confirmed it."""
    value = uuid.uuid4().hex
    if url.startswith("postgresql:"):
        async with await AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS appended (value text)")
            await connection.execute("INSERT INTO appended VALUES (%s)", [value])
    else:
        async with Redis.from_url(url) as client:
            await client.rpush("appended", value)
    return value


async def appended(url: str) -> list[str]:
    """Return the values that `append` has added."""
    if url.startswith("postgresql:"):
        async with await AsyncConnection.connect(url) as connection:
            found = await connection.execute("TABLE appended")
            return [value for (value,) in await found.fetchall()]
    async with Redis.from_url(url, decode_responses=True) as client:
        return await client.lrange("appended", 0, -1)


async def copy_directory(source: Path, target: Path) -> None:
    """Copy a directory with its owners: its server may run under an account of its own."""
    process = await asyncio.create_subprocess_exec("cp", "-a", source, target)
    assert await process.wait() == 0
