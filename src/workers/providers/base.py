"""What every provider takes, gives and does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from generations.pricing import Usage
from generations.settings import NO_SETTINGS, Settings

# Awaited with the remote id once a provider has accepted a job, before its outcome is waited for.
OnSubmitted = Callable[[str], Awaitable[None]]
# Told what a job has come to, as often as its provider says: a word, and 0 to 100 or None.
OnProgress = Callable[[str, int | None], None]


def no_progress(_stage: str, _percent: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One file made; its size in pixels, if it has one."""

    content: bytes = field(repr=False)
    media_type: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """What to make. It comes from a validated request and a choice of the catalogue.

    `attempt_id` is ours, for the provider's logs. `user` is a hash that tells users apart and names
    nobody; it may be empty. `references` and `mask` are the files that the settings name.
    """

    kind: str
    model: str
    prompt: str = field(repr=False)
    size: str
    quality: str
    count: int
    attempt_id: str
    user: str
    settings: Settings = field(default=NO_SETTINGS, repr=False)
    references: tuple[ProducedFile, ...] = ()
    mask: ProducedFile | None = None
    on_progress: OnProgress = field(default=no_progress, repr=False)


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """What was made, which may be fewer files than were asked for, and what to bill.

    `remote_id` is the provider's id of the job, `request_id` that of the call, for its support.
    `usage_estimated` is set where the provider did not tell the usage, and what came was counted.
    """

    files: tuple[ProducedFile, ...]
    usage: Usage
    remote_id: str | None
    request_id: str | None
    usage_estimated: bool = False


class Provider(Protocol):
    """Makes generations. It never repeats a request that may cost money by itself."""

    name: str

    async def generate(
        self, request: ProviderRequest, *, on_submitted: OnSubmitted
    ) -> ProviderResult:
        """Make what is asked for. Raises ProviderError, and what `on_submitted` raises."""

    async def aclose(self) -> None:
        """Close the connections."""


@runtime_checkable
class ResumableProvider(Provider, Protocol):
    """A provider that goes on with a job by itself, and can be asked for it again later."""

    async def resume(self, request: ProviderRequest, remote_id: str) -> ProviderResult:
        """Wait for a job that an earlier `generate` submitted. Raises ProviderError."""


@runtime_checkable
class CancellableProvider(ResumableProvider, Protocol):
    """A provider that can be asked to stop a job. What it has come to, `resume` tells after."""

    async def cancel(self, request: ProviderRequest, remote_id: str) -> None:
        """Ask it to stop; a job that has ended stays as it is. Raises ProviderError."""
