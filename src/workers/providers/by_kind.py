"""A provider that makes several kinds, each by a part of its own."""

from __future__ import annotations

from collections.abc import Mapping

from generations.models import Kind
from workers.providers.base import (
    CancellableProvider,
    OnSubmitted,
    Provider,
    ProviderRequest,
    ProviderResult,
    ResumableProvider,
)
from workers.providers.errors import InvalidRequest, ProviderFailed


def by_kind(name: str, parts: Mapping[Kind, Provider]) -> Provider:
    """Return one provider of that name, which gives each request to the part for its kind.

    It can be resumed if any of its parts can, and cancelled likewise: what is asked of a job is
    asked of the part that submitted it.
    """
    if any(isinstance(part, CancellableProvider) for part in parts.values()):
        return _Cancellable(name, parts)
    if any(isinstance(part, ResumableProvider) for part in parts.values()):
        return _Resumable(name, parts)
    return _ByKind(name, parts)


class _ByKind:
    def __init__(self, name: str, parts: Mapping[Kind, Provider]) -> None:
        self.name = name
        self._parts = {kind.value: part for kind, part in parts.items()}

    async def generate(
        self, request: ProviderRequest, *, on_submitted: OnSubmitted
    ) -> ProviderResult:
        """Make what is asked for. Raises ProviderError, and what `on_submitted` raises."""
        part = self._parts.get(request.kind)
        if part is None:
            raise InvalidRequest(self.name, f"It makes no {request.kind}.")
        return await part.generate(request, on_submitted=on_submitted)

    async def aclose(self) -> None:
        """Close the connections of all parts."""
        for part in self._parts.values():
            await part.aclose()


class _Resumable(_ByKind):
    async def resume(self, request: ProviderRequest, remote_id: str) -> ProviderResult:
        """Wait for a job that an earlier `generate` submitted. Raises ProviderError."""
        part = self._parts.get(request.kind)
        if not isinstance(part, ResumableProvider):
            raise ProviderFailed(self.name, f"Nobody can be asked for its jobs of {request.kind}.")
        return await part.resume(request, remote_id)


class _Cancellable(_Resumable):
    async def cancel(self, request: ProviderRequest, remote_id: str) -> None:
        """Ask it to stop; a job that can't be stopped goes on. Raises ProviderError."""
        part = self._parts.get(request.kind)
        if isinstance(part, CancellableProvider):
            await part.cancel(request, remote_id)
