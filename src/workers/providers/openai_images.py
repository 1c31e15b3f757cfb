"""OpenAI's images, made or edited, through its SDK with every retry of the SDK switched off.

A request that was sent is never sent again: OpenAI has no idempotency key, so that each POST is an
image that is paid for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

import openai
import structlog
from openai.types import ImagesResponse

from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.capabilities import refuse_settings
from workers.providers.errors import InvalidRequest, ProviderFailed
from workers.providers.openai_client import connection_error, open_client, status_error
from workers.providers.pictures import NotAPicture, read_picture

REFERENCES_MAX = 16
REFERENCE_BYTES_MAX = 50_000_000

# It has no parameter for a seed, steps or a negative prompt, and refuses parameters unknown to it.
_SETTINGS = {"output_format", "references", "mask"}

_log = structlog.get_logger(__name__)


class OpenAIImages:
    """Makes images at OpenAI, or at what speaks like it; with references it edits them."""

    name = "openai"

    def __init__(self, key: str, base_url: str, *, seconds_max: float) -> None:
        self._client = open_client(key, base_url, read_seconds_max=seconds_max)

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - one call does it all, there is no remote id
    ) -> ProviderResult:
        """Make the images in one call of up to minutes. Raises ProviderError."""
        body = self._body(request)
        images = self._client.images.with_raw_response
        send: Any = images.edit if request.references else images.generate
        try:
            # OpenAI logs the header, so that an attempt without an answer can be asked about.
            response = await send(**body, extra_headers={"X-Client-Request-Id": request.attempt_id})
        except openai.APIStatusError as error:
            raise status_error(self.name, error, refused="unknown") from None
        except openai.APIConnectionError as error:
            raise connection_error(self.name, error) from error
        request_id = response.headers.get("x-request-id")
        # Some megabytes of JSON and base64.
        return await asyncio.to_thread(self._read, response, request_id)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _body(self, request: ProviderRequest) -> dict[str, Any]:
        """Return what to ask for. Raises InvalidRequest."""
        refuse_settings(self.name, request, _SETTINGS)
        body: dict[str, Any] = {
            "model": request.model,
            "prompt": request.prompt,
            "n": request.count,
            "size": request.size,
            "quality": request.quality,  # the catalogue has the provider's words
            "output_format": request.settings.output_format or openai.omit,
            "safety_identifier": request.user or openai.omit,
        }
        if request.mask is not None and not request.references:
            raise InvalidRequest(self.name, "A mask needs a reference, in which it says where.")
        if len(request.references) > REFERENCES_MAX:
            raise InvalidRequest(self.name, f"It takes at most {REFERENCES_MAX} references.")
        if request.references:
            files = enumerate(request.references, 1)
            body["image"] = [self._upload(f"reference-{number}", file) for number, file in files]
        if request.mask is not None:
            body["mask"] = self._upload("mask", request.mask)
        return body

    def _upload(self, name: str, file: ProducedFile) -> tuple[str, bytes, str]:
        """Return a file as the SDK sends it; its name has to end as its type does."""
        kind, _, extension = file.media_type.partition("/")
        if kind != "image" or len(file.content) >= REFERENCE_BYTES_MAX:
            raise InvalidRequest(
                self.name, f"The {name} must be an image of less than {REFERENCE_BYTES_MAX} bytes."
            )
        return f"{name}.{extension}", file.content, file.media_type

    def _read(self, response: Any, request_id: str | None) -> ProviderResult:
        """Return what a good answer holds. Its cost is told even if its images can't be read."""
        usage: Usage | None = None
        try:
            answer: ImagesResponse = response.parse()
            usage = _usage(answer)
            files = tuple(
                read_picture(base64.b64decode(image.b64_json or "", validate=True))
                for image in answer.data or ()
            )
        except (AttributeError, TypeError, ValueError, binascii.Error, openai.OpenAIError) as error:
            problem = str(error) if isinstance(error, NotAPicture) else type(error).__name__
            raise ProviderFailed(
                self.name,
                f"The answer can't be read: {problem}.",
                dispatched="yes",
                usage=usage,
                request_id=request_id,
            ) from error
        if not files:
            raise ProviderFailed(
                self.name,
                "The answer has no image.",
                dispatched="yes",
                usage=usage,
                request_id=request_id,
            )
        return ProviderResult(files=files, usage=usage, remote_id=None, request_id=request_id)


def _usage(answer: ImagesResponse) -> Usage:
    """Return the usage; where the answer does not tell it well, the number of images alone."""
    images = len(answer.data or ())
    reported = answer.usage
    if reported is None:
        return Usage(images=images)
    details = reported.output_tokens_details
    text_output = details.text_tokens if details else 0
    try:
        return Usage(
            images=images,
            text_input_tokens=reported.input_tokens_details.text_tokens,
            image_input_tokens=reported.input_tokens_details.image_tokens,
            image_output_tokens=reported.output_tokens - text_output,
            text_output_tokens=text_output,
        )
    except (AttributeError, TypeError, ValueError) as error:
        _log.warning("usage_unreadable", provider="openai", problem=type(error).__name__)
        return Usage(images=images)
