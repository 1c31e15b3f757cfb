"""Stability's Stable Image: one call makes one image, sent as a form and answered with its bytes.

It bills credits for each image that it made, and nothing for a call that failed. Whether it bills
an image that it has blurred as unsafe, it does not say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProviderRequest, ProviderResult
from workers.providers.capabilities import refuse_settings
from workers.providers.errors import (
    ContentRefused,
    InvalidRequest,
    ProviderError,
    ProviderFailed,
    RateLimited,
    error_for_status,
)
from workers.providers.http import json_object, make_client, send_once
from workers.providers.one_by_one import make_one_by_one
from workers.providers.pictures import NotAPicture, aspect_ratio, pixels, read_picture

NAME = "stability"
PROMPT_LENGTH_MAX = 10_000
# How far from an image that is given the result may be: 0 is the same, 1 takes nothing of it.
STRENGTH = "0.65"
# It turns every call away for this long after one too many.
RATE_LIMIT_SECONDS = 60.0

_SETTINGS = {"negative_prompt", "output_format", "references", "seed"}
# Each has an address of its own; every other model is one of SD3's.
_ENDPOINTS: Mapping[str, str] = {"stable-image-core": "core", "stable-image-ultra": "ultra"}
_RATIOS = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
_FILTERED = "CONTENT_FILTERED"
_REFUSED = "content_moderation"
_SERVER_ERROR = 500


class Stability:
    """Makes images at Stability, or at what speaks like it; one may take `seconds_max`."""

    name = NAME

    def __init__(self, key: str, base_url: str, *, seconds_max: float) -> None:
        self._client = make_client(base_url, f"Bearer {key}", seconds_max, Accept="image/*")
        self._seconds_max = seconds_max

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
        endpoint = _ENDPOINTS.get(request.model, "sd3")
        response = await send_once(
            self.name,
            self._client,
            f"/v2beta/stable-image/generate/{endpoint}",
            seconds_max=self._seconds_max,
            files=_parts(request, endpoint),
            headers={"stability-client-user-id": request.user} if request.user else {},
        )
        request_id = response.headers.get("x-request-id")
        if not response.is_success:
            raise _refusal(response, request_id)
        if response.headers.get("finish-reason") == _FILTERED:
            message = "The image was withheld by the content filter."
            raise ContentRefused(self.name, message, request_id=request_id)
        usage = Usage(images=1)
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


def _parts(request: ProviderRequest, endpoint: str) -> dict[str, Any]:
    """Return the form in parts, which it has to be even without a file.

    Raises InvalidRequest.
    """
    fields = _form(request, endpoint)
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    if request.references:
        [image] = request.references
        parts["image"] = ("image", image.content, image.media_type)
    return parts


def _form(request: ProviderRequest, endpoint: str) -> dict[str, str]:
    """Return the fields of the form. Raises InvalidRequest for what it would refuse."""
    settings = request.settings
    if len(request.prompt) > PROMPT_LENGTH_MAX or len(settings.negative_prompt) > PROMPT_LENGTH_MAX:
        raise InvalidRequest(NAME, f"A prompt has at most {PROMPT_LENGTH_MAX} characters.")
    if len(request.references) > (endpoint != "core"):
        raise InvalidRequest(NAME, f"{request.model} does not take so many images.")
    fields = {"prompt": request.prompt, "output_format": settings.output_format or "png"}
    mode = "text-to-image"
    if request.references:
        # The result has the size of the image.
        mode, fields["strength"] = "image-to-image", STRENGTH
    else:
        fields["aspect_ratio"] = _ratio(request.size)
    if endpoint == "sd3":
        fields |= {"model": request.model, "mode": mode}
    if settings.negative_prompt:
        fields["negative_prompt"] = settings.negative_prompt
    if settings.seed is not None:
        fields["seed"] = str(settings.seed)
    return fields


def _ratio(size: str) -> str:
    """Return the aspect ratio of a size; of what size an image is, the model says."""
    try:
        width, height = pixels(size)
    except ValueError as error:
        raise InvalidRequest(NAME, str(error)) from None
    ratio = aspect_ratio(width, height)
    if ratio not in _RATIOS:
        raise InvalidRequest(NAME, f"{size} is {ratio}; it makes {', '.join(_RATIOS)}.")
    return ratio


def _refusal(response: httpx.Response, request_id: str | None) -> ProviderError:
    """Return our error for an answer that is none."""
    status, body = response.status_code, json_object(response)
    errors = body.get("errors")
    message = "; ".join(map(str, errors)) if isinstance(errors, list) and errors else "No message."
    if body.get("name") == _REFUSED:
        return ContentRefused(NAME, message, dispatched="no", request_id=request_id)
    if status >= _SERVER_ERROR and "name" in body:
        # It is Stability's own, not a gateway's: a call that failed, which is free.
        return ProviderFailed(NAME, message, dispatched="no", request_id=request_id)
    error = error_for_status(NAME, status, message, response.headers, request_id)
    if isinstance(error, RateLimited) and error.retry_after_seconds is None:
        error.retry_after_seconds = RATE_LIMIT_SECONDS
    return error
