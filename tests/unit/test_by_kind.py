"""A provider of several kinds: each request reaches the part for its kind, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from generations.models import Kind
from generations.pricing import Usage
from workers.providers.base import (
    CancellableProvider,
    ProviderRequest,
    ProviderResult,
    ResumableProvider,
)
from workers.providers.by_kind import by_kind
from workers.providers.errors import InvalidRequest, ProviderFailed

REQUEST = ProviderRequest(
    kind="image",
    model="m",
    prompt="a red fox",
    size="512x512",
    quality="standard",
    count=1,
    attempt_id="attempt-1",
    user="",
)


class Part:
    """Answers with the word that it was given, as the remote id."""

    name = "part"

    def __init__(self, word: str) -> None:
        self.word = word
        self.calls: list[str] = []

    async def generate(self, _request, *, on_submitted) -> ProviderResult:
        """Note the call."""
        await on_submitted(self.word)
        return ProviderResult((), Usage(), self.word, None)

    async def aclose(self) -> None:
        """Note the call."""
        self.calls.append("aclose")


class ResumablePart(Part):
    """Can be asked again."""

    async def resume(self, _request, remote_id: str) -> ProviderResult:
        """Note the call."""
        self.calls.append(f"resume {remote_id}")
        return ProviderResult((), Usage(), self.word, None)


class CancellablePart(ResumablePart):
    """Can be stopped as well."""

    async def cancel(self, _request, remote_id: str) -> None:
        """Note the call."""
        self.calls.append(f"cancel {remote_id}")


async def test_each_kind_goes_to_its_part():
    provider = by_kind("both", {Kind.IMAGE: Part("image"), Kind.CHAT: Part("chat")})
    submitted = []

    async def on_submitted(remote_id: str) -> None:
        submitted.append(remote_id)

    for kind in ("chat", "image"):
        request = replace(REQUEST, kind=kind)
        result = await provider.generate(request, on_submitted=on_submitted)
        assert result.remote_id == kind
    assert submitted == ["chat", "image"]
    assert provider.name == "both"


async def test_a_kind_without_a_part_is_refused_and_costs_nothing():
    provider = by_kind("both", {Kind.IMAGE: Part("image")})
    with pytest.raises(InvalidRequest, match="makes no video") as caught:
        await provider.generate(replace(REQUEST, kind="video"), on_submitted=None)
    assert (caught.value.dispatched, caught.value.provider) == ("no", "both")


@pytest.mark.parametrize(
    ("second", "resumable", "cancellable"),
    [(Part, False, False), (ResumablePart, True, False), (CancellablePart, True, True)],
)
def test_it_can_do_what_any_of_its_parts_can(second, resumable, cancellable):
    provider = by_kind("both", {Kind.CHAT: Part("chat"), Kind.IMAGE: second("image")})
    assert isinstance(provider, ResumableProvider) is resumable
    assert isinstance(provider, CancellableProvider) is cancellable


async def test_a_job_is_asked_for_where_it_was_submitted():
    chat, image, video = Part("chat"), CancellablePart("image"), ResumablePart("video")
    provider = by_kind("all", {Kind.CHAT: chat, Kind.IMAGE: image, Kind.VIDEO: video})
    assert isinstance(provider, CancellableProvider)
    assert (await provider.resume(REQUEST, "7")).remote_id == "image"
    await provider.cancel(REQUEST, "7")
    # It can't be stopped, and so goes on.
    await provider.cancel(replace(REQUEST, kind="video"), "8")
    with pytest.raises(ProviderFailed) as caught:
        await provider.resume(replace(REQUEST, kind="chat"), "9")
    assert caught.value.dispatched == "unknown"
    await provider.aclose()
    assert (chat.calls, image.calls, video.calls) == (
        ["aclose"],
        ["resume 7", "cancel 7", "aclose"],
        ["aclose"],
    )
