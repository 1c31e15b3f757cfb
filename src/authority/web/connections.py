"""Connections of browsers: so many and no more, and none that only takes up its place.

Anybody may connect, and each connection takes a file descriptor of the process that serves gRPC.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# With the files that they read, less than half of the 1,024 descriptors that a process often has.
CONNECTIONS_MAX = 200
REQUEST_SECONDS_MAX = 10.0
# The largest video, at 4 Mbit/s. Who is slower can ask for the rest as a part.
ANSWER_SECONDS_MAX = 600.0


class BoundedConnection(H11Protocol):
    """A connection that is cut if it is one too many, asks for nothing, or is read too slowly."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or cut it."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._wait(REQUEST_SECONDS_MAX, self._expect_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        self._wait(REQUEST_SECONDS_MAX, self._expect_request)
        super().on_response_complete()

    def _expect_request(self) -> None:
        """Cut the connection unless a request is being answered, which may take its time."""
        # Its type does not say that there is none before the first request.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.transport.abort()
        else:
            self._wait(ANSWER_SECONDS_MAX, self.transport.abort)

    def _wait(self, seconds: float, then: Any) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
