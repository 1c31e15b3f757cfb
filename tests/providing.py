"""Helpers of the tests that ask one provider: requests, ids to take note of, errors."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from generations.catalogue import Catalogue
from generations.pricing import Usage, price
from generations.settings import Settings
from workers.emulator import Emulator
from workers.emulator.pictures import PRICES
from workers.providers.base import Provider, ProviderRequest
from workers.providers.errors import ProviderError


def wanted(model: str, *, kind: str = "image", size: str = "1024x1024", **settings):
    """Return a request with a prompt of the test's own."""
    return ProviderRequest(
        kind=kind,
        model=model,
        prompt=f"a red fox {uuid.uuid4()}",
        size=size,
        quality=find(model).default_quality,
        count=1,
        attempt_id="attempt-1",
        user="5f2a",
        settings=Settings(**settings),
    )


def find(model: str):
    """Return a model of the catalogue."""
    return next(found for found in Catalogue.load(PRICES).models() if found.name == model)


async def ignore(_remote_id: str) -> None:
    """Take note of nothing."""


async def no_pause(_seconds: float) -> None:
    """Let others go on, and no more."""
    await asyncio.sleep(0)


async def failure(provider: Provider, request: ProviderRequest) -> ProviderError:
    """Return the error that a request gets."""
    with pytest.raises(ProviderError) as caught:
        await provider.generate(request, on_submitted=ignore)
    return caught.value


def bill(request: ProviderRequest, usage: Usage | None) -> int:
    """Return what a request costs by its usage; its estimate without one."""
    return price(
        find(request.model),
        size=request.size,
        quality=request.quality,
        count=request.count,
        prompt=request.prompt,
        settings=request.settings,
        usage=usage,
    )


async def posts(emulator: Emulator, request: ProviderRequest) -> int:
    """Return how many times a request was submitted."""
    calls = await emulator.calls(prompt=request.prompt)
    return sum(call.method == "POST" for call in calls)


async def billed(emulator: Emulator, request: ProviderRequest) -> int:
    """Return what the emulator has billed for a request."""
    return sum(call.billed_micros for call in await emulator.calls(prompt=request.prompt))
