"""The two stores of a stack: embedded servers, or those that the environment names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import AsyncConnection
from pydantic import ValidationError
from redis.exceptions import RedisError

from authority.config import AuthoritySettings, describe
from authority.embedded import EmbeddedPostgres, EmbeddedValkey
from authority.embedded.servers import EmbeddedServer
from authority.hotstate.store import connect
from paymaster.stack.errors import BadStoreUrl, StackFailed

DATABASE_VARIABLE = "DATABASE_URL"
REDIS_VARIABLE = "REDIS_URL"
_ANSWER_SECONDS_MAX = 5
# Stand in for what the environment does not name while the rest is checked.
_PLACEHOLDERS = {DATABASE_VARIABLE: "postgresql://embedded", REDIS_VARIABLE: "redis://embedded"}


@dataclass(frozen=True, slots=True, repr=False)
class Stores:
    """Where the stores listen. Holds passwords: it has no repr."""

    database_url: str
    redis_url: str
    embedded: tuple[EmbeddedServer, ...]


def external_urls() -> dict[str, str]:
    """Return the stores that the environment names, by variable. Raises BadStoreUrl."""
    given = {name: url for name in _PLACEHOLDERS if (url := os.environ.get(name))}
    try:
        AuthoritySettings.model_validate(_PLACEHOLDERS | given)
    except ValidationError as error:
        raise BadStoreUrl(describe(error)) from None
    return given


def shown(url: str) -> str:
    """Return a store's place without user and password, for people."""
    return urlsplit(url).netloc.rpartition("@")[2]


@asynccontextmanager
async def running_stores(root: Path, urls: Mapping[str, str]) -> AsyncIterator[Stores]:
    """Run the stores that `urls` does not name, with their data below `root`.

    Raises EmbeddedError, and StackFailed if one that is named does not answer.
    """
    await _check_external(urls)
    postgres = None if DATABASE_VARIABLE in urls else EmbeddedPostgres(root / "postgres")
    valkey = None if REDIS_VARIABLE in urls else EmbeddedValkey(root / "valkey")
    embedded = tuple(server for server in (postgres, valkey) if server is not None)
    async with AsyncExitStack() as exits:
        for server in embedded:
            exits.push_async_callback(server.stop)
        try:
            async with asyncio.TaskGroup() as group:
                for server in embedded:
                    group.create_task(server.start())
        except ExceptionGroup as errors:
            # One is enough to act on.
            raise errors.exceptions[0] from None
        yield Stores(
            database_url=postgres.url if postgres else urls[DATABASE_VARIABLE],
            redis_url=valkey.url if valkey else urls[REDIS_VARIABLE],
            embedded=embedded,
        )


async def _check_external(urls: Mapping[str, str]) -> None:
    """Ask the stores that are not ours for a sign of life, before anything is started for them."""
    variable = DATABASE_VARIABLE
    try:
        if url := urls.get(variable):
            connection = await AsyncConnection.connect(url, connect_timeout=_ANSWER_SECONDS_MAX)
            await connection.close()
        if url := urls.get(REDIS_VARIABLE):
            variable = REDIS_VARIABLE
            async with asyncio.timeout(_ANSWER_SECONDS_MAX), connect(url) as redis:
                await redis.ping()
    except (psycopg.Error, RedisError, ValueError, OSError) as error:
        reason = str(error) or "no answer in time"
        raise StackFailed(f"{variable}: {shown(urls[variable])} can't be used: {reason}") from error
