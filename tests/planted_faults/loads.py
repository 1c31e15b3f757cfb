"""Says whether the sources on the path load: `python -m planted_faults.loads SOURCES REDIS_URL`."""

from __future__ import annotations

import asyncio
import sys
from importlib.resources import files
from pathlib import Path

from redis.asyncio import Redis

import authority
from authority import bootstrap
from authority.hotstate.scripts import script_set
from authority.ledger.queries import statements


async def main(sources: str, redis_url: str) -> None:
    """Load every module, statement and script; raise what is in the way."""
    for module in (authority, bootstrap):
        assert Path(str(module.__file__)).is_relative_to(sources), module.__file__
    for file in files("authority.ledger").iterdir():
        if file.name.endswith(".sql"):
            statements(file.name)
    async with Redis.from_url(redis_url) as redis:
        for text in script_set(1).texts.values():
            await redis.script_load(text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
