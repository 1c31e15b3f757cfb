"""Counts how many calls for work each provider has had at one time."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send


class Peaks:
    """Wraps an application; `most` is by provider, which is where a path begins."""

    def __init__(self, app: ASGIApp) -> None:
        self.most: Counter[str] = Counter()
        self._app = app
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call, and count it for as long as it lasts."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        provider = scope["path"].split("/")[1]
        self._open[provider] += 1
        self.most[provider] = max(self.most[provider], self._open[provider])
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[provider] -= 1
