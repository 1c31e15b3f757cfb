"""Serves HTTP in the running loop, beside gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from authority.web.artifacts import ArtifactPages
from authority.web.connections import BoundedConnection

_BACKLOG = 256
_SHUTDOWN_SECONDS_MAX = 5


class WebPortInUse(Exception):
    """Something else listens there."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Bind a port; 0 chooses a free one. Raises WebPortInUse."""
    host = host.strip("[]")  # as gRPC wants an address of IPv6
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise WebPortInUse(f"{host}:{port} can't be listened on: {error.strerror}.") from None
    return listener


@contextlib.asynccontextmanager
async def serving(
    listener: socket.socket,
    artifacts: ArtifactPages,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
) -> AsyncIterator[None]:
    """Serve until the block ends; then let answers that have begun end, for some seconds."""
    route = "/artifacts/{tenant}/{generation}/{position}"
    app = Starlette(routes=[Route(route, artifacts.get, methods=["GET", "HEAD"])])
    # A redirection would lead to whatever host the request names, with the signature.
    app.router.redirect_slashes = False
    server = _Server(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS_MAX,
        )
    )
    task = asyncio.create_task(server.serve([listener]), name="web")
    try:
        yield
    finally:
        server.should_exit = True
        await task
