"""The product's own script calls: caught on their way to Valkey, and run again without the product.

Nothing here knows what a script is told: a call is caught with MONITOR and repeated byte by byte,
only that every UUID in it (operation, reservation, key) is a new one each time. It is repeated on a
copy of the tenant in another database of the same server, which the product never looks at.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis

SCRATCH_DATABASE = 1
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class NothingCaught(Exception):
    """The product called no script that decides: this harness does not fit it any more."""


class Template:
    """Commands of one cycle, in which each UUID becomes a new one, the same in all of them."""

    def __init__(self, commands: Sequence[bytes]) -> None:
        text = b"".join(commands)
        uuids = sorted(set(_UUID.findall(text)))
        self._width = len(uuids)
        place = {uuid: index for index, uuid in enumerate(uuids)}
        self._order = [place[uuid] for uuid in _UUID.findall(text)]
        self._form = _UUID.sub(b"%b", text.replace(b"%", b"%%"))
        self._count = 0
        # Another run on the same copy must not make the same ones.
        self._salt = os.urandom(4).hex().encode()

    def fresh(self) -> bytes:
        """Return the commands with UUIDs that were never used."""
        made = []
        for _ in range(self._width):
            self._count += 1
            made.append(b"%b-0000-7000-8000-%012x" % (self._salt, self._count))
        return self._form % tuple([made[index] for index in self._order])


def command_of(line: bytes) -> bytes:
    """Return a line of MONITOR as the command that it shows, in the form that the server reads."""
    arguments = [_ESCAPE.sub(_unescaped, found) for found in _ARGUMENT.findall(line)]
    parts = [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments]
    return b"*%d\r\n%b" % (len(arguments), b"".join(parts))


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    if code.startswith(b"x") and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return _ESCAPED.get(code, code)


async def caught(redis_url: str, tenant: str, cycle: Callable[[], Awaitable[None]]) -> list[str]:
    """Let a cycle happen; return its deciding script calls, in base64 for JSON.

    Copies the tenant's keys as they were after the cycle. Raises NothingCaught.
    """
    tag = f"{{{tenant}}}".encode()
    lines: list[bytes] = []
    async with Redis.from_url(redis_url) as redis, Redis.from_url(redis_url) as watching:
        async with watching.monitor() as monitor:
            await cycle()
            await redis.echo("the cycle is over")
            while True:
                line = await monitor.connection.read_response(disable_decoding=True)
                if b"the cycle is over" in line:
                    break
                # What scripts do themselves is shown as the doing of `lua`.
                if b'"EVALSHA"' in line and b" lua]" not in line and tag in line:
                    lines.append(line)
        found = [line for line in lines if _UUID.search(line)]
        if len(found) != 2:
            raise NothingCaught(f"a cycle called {len(found)} scripts and not 2: {lines!r:.500}")
        async for key in redis.scan_iter(match=f"pm:{{{tenant}}}:*"):
            await redis.copy(key, key, destination_db=SCRATCH_DATABASE, replace=True)
    return [base64.b64encode(command_of(line)).decode() for line in found]


async def forget(redis_url: str) -> None:
    """Remove the copies and what was done to them."""
    async with Redis.from_url(redis_url, db=SCRATCH_DATABASE) as redis:
        await redis.select(SCRATCH_DATABASE)
        await redis.flushdb()
