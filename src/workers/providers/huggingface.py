"""Hugging Face's own inference: one call makes one image, and answers with its bytes.

What is billed is the time of computing, which the answer may tell. If it does not, the time that
the call took stands for it: it was at least as long.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

import httpx

from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProviderRequest, ProviderResult
from workers.providers.capabilities import refuse_settings
from workers.providers.errors import (
    InvalidRequest,
    ModelGone,
    ModelLoading,
    ProviderError,
    ProviderFailed,
    error_for_status,
)
from workers.providers.http import json_object, make_client, send_once
from workers.providers.one_by_one import make_one_by_one
from workers.providers.pictures import NotAPicture, pixels, read_picture

NAME = "huggingface"
LOADING_SECONDS_MAX = 60.0
LOADING_SECONDS_DEFAULT = 20.0

_SETTINGS = {"negative_prompt", "output_format", "seed", "steps"}
_UNAVAILABLE = 503
_BAD_REQUEST = 400
_NOT_SERVED = "not supported by provider"
_MILLISECONDS = 3


class HuggingFace:
    """Makes images at Hugging Face, or at what speaks like its `hf-inference`.

    `seconds_max` is how long one image may take; `clock` gives seconds that only grow.
    """

    name = NAME

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        seconds_max: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = make_client(base_url, f"Bearer {key}", seconds_max)
        self._seconds_max = seconds_max
        self._clock = clock

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - each call does it all, there is no remote id
    ) -> ProviderResult:
        """Make the images, one call after another. Raises ProviderError."""
        refuse_settings(self.name, request, _SETTINGS)
        return await make_one_by_one(request, self._make)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _make(self, request: ProviderRequest) -> ProviderResult:
        body = {"inputs": request.prompt, "parameters": _parameters(request)}
        accept = f"image/{request.settings.output_format or 'png'}"
        start = self._clock()
        try:
            response = await send_once(
                self.name,
                self._client,
                f"/models/{request.model}",
                seconds_max=self._seconds_max,
                json=body,
                headers={"Accept": accept},
            )
        except ProviderError as error:
            if error.dispatched != "no":
                error.usage = self._usage(start)
            raise
        usage, request_id = self._usage(start, response), response.headers.get("x-request-id")
        if not response.is_success:
            raise _refusal(response, request_id)
        try:
            file = await asyncio.to_thread(read_picture, response.content)
        except NotAPicture as error:
            raise ProviderFailed(
                self.name,
                f"The answer can't be read: {error}.",
                dispatched="yes",
                usage=usage,
                request_id=request_id,
            ) from None
        return ProviderResult((file,), usage, None, request_id)

    def _usage(self, start: float, response: httpx.Response | None = None) -> Usage:
        seconds = _told_seconds(response) if response is not None else None
        if seconds is None:
            seconds = Decimal(str(round(self._clock() - start, _MILLISECONDS)))
        return Usage(images=1, seconds=seconds)


def _parameters(request: ProviderRequest) -> dict[str, Any]:
    try:
        width, height = pixels(request.size)
    except ValueError as error:
        raise InvalidRequest(NAME, str(error)) from None
    settings = request.settings
    wanted = {
        "negative_prompt": settings.negative_prompt or None,
        "num_inference_steps": settings.steps,
        "seed": settings.seed,
    }
    return {
        "width": width,
        "height": height,
        **{name: value for name, value in wanted.items() if value is not None},
    }


def _told_seconds(response: httpx.Response) -> Decimal | None:
    """Return the seconds that the answer says were computed; None if it says none to rely on."""
    try:
        seconds = Decimal(response.headers.get("x-compute-time", ""))
        Usage(seconds=seconds)
    except (DecimalException, ValueError):
        return None
    return seconds


def _refusal(response: httpx.Response, request_id: str | None) -> ProviderError:
    """Return our error for an answer that is none."""
    status, body = response.status_code, json_object(response)
    message = _message(body)
    if status == _UNAVAILABLE and "estimated_time" in body:
        return ModelLoading(
            NAME, message, retry_after_seconds=_loading_seconds(body), request_id=request_id
        )
    if status == _BAD_REQUEST and _NOT_SERVED in message.lower():
        return ModelGone(NAME, message, request_id=request_id)
    return error_for_status(NAME, status, message, response.headers, request_id)


def _loading_seconds(body: dict[str, Any]) -> float:
    """Return when the model may be ready; later than LOADING_SECONDS_MAX is asked again."""
    told = body["estimated_time"]
    if isinstance(told, bool) or not isinstance(told, int | float):
        return LOADING_SECONDS_DEFAULT
    if not math.isfinite(told) or told < 0:
        return LOADING_SECONDS_DEFAULT
    return min(float(told), LOADING_SECONDS_MAX)


def _message(body: dict[str, Any]) -> str:
    said = body.get("error")
    if isinstance(said, dict):
        said = said.get("message")
    if isinstance(said, list):
        said = "; ".join(map(str, said))
    return str(said or "No message.")
