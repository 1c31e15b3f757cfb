"""Serves the emulator over TCP in the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import Scope

from workers.emulator.app import build_app
from workers.emulator.client import Emulator
from workers.emulator.wire import Wire

HOST = "127.0.0.1"

_BACKLOG = 256
_SHUTDOWN_SECONDS_MAX = 2


class PortInUse(Exception):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"The port {port} of {HOST} is in use; choose another, or 0 for any.")
        self.port = port


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def cut(self, scope: Scope) -> None:
        """Cut the connection that a call came by."""
        for connection in self.server_state.connections:
            peer = connection.transport.get_extra_info("peername")
            if peer[:2] == tuple(scope["client"]):
                connection.transport.abort()

    def cut_all(self) -> None:
        """Cut every connection; those who wait for an answer learn that none comes."""
        for connection in self.server_state.connections:
            connection.transport.abort()


@contextlib.asynccontextmanager
async def running_emulator(port: int = 0) -> AsyncIterator[Emulator]:
    """Serve the emulator on loopback, on a free port if it is 0. Raises PortInUse."""
    listener = _listen(port)
    # The application is not there yet when the server is made, which can cut connections for it.
    server = _Server(
        uvicorn.Config(
            lambda: build_app(Wire(server.cut)),
            factory=True,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS_MAX,
        )
    )
    # Connections wait in the backlog until it has started.
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield Emulator(f"http://{HOST}:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        server.cut_all()
        await serving


def _listen(port: int) -> socket.socket:
    # asyncio sends small answers at once only if the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise PortInUse(port) from None
    return listener
