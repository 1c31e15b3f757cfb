"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import secrets
import socket

LOOPBACK = "127.0.0.1"

# Below the ranges that Linux and macOS take the ports of outgoing connections from. From one of
# those, a client that keeps trying to reach a server that is down is in time given the server's
# port as its own, connects to itself and keeps the server from coming back.
_CHOICES = range(20_000, 32_000)
_ATTEMPTS_MAX = 1_000


def choose() -> int:
    """Return a port that is free now. Another process may take it before it is used."""
    for _ in range(_ATTEMPTS_MAX):
        port = secrets.choice(_CHOICES)
        if is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no port of {_ATTEMPTS_MAX} tried is free")


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port now. Raises OSError when it may not at all."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        return True
