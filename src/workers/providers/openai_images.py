"""OpenAI's images, through its SDK with every retry of the SDK switched off.

A request that was sent is never sent again: OpenAI has no idempotency key, so that each POST is an
image that is paid for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any, cast

import httpx2
import openai
import structlog
from openai.types import ImagesResponse

from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProviderRequest, ProviderResult
from workers.providers.errors import (
    AuthOrBilling,
    ConnectFailed,
    ContentRefused,
    Dispatched,
    ModelGone,
    ProviderError,
    ProviderFailed,
    TimeoutUnknown,
    error_for_status,
)
from workers.providers.pictures import NotAPicture, read_picture

CONNECT_SECONDS_MAX = 5
WRITE_SECONDS_MAX = 30

_REFUSED = {"moderation_blocked", "content_policy_violation"}
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

_log = structlog.get_logger(__name__)


class OpenAIImages:
    """Makes images at OpenAI, or at what speaks like it."""

    name = "openai"

    def __init__(self, key: str, base_url: str, *, seconds_max: float) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            timeout=openai.Timeout(
                seconds_max, connect=CONNECT_SECONDS_MAX, write=WRITE_SECONDS_MAX
            ),
        )

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - one call does it all, there is no remote id
    ) -> ProviderResult:
        """Make the images in one call of up to minutes. Raises ProviderError."""
        try:
            response = await self._client.images.with_raw_response.generate(
                model=request.model,
                prompt=request.prompt,
                n=request.count,
                size=request.size,
                quality=cast("Any", request.quality),  # the catalogue has the provider's words
                safety_identifier=request.user or openai.omit,
                # OpenAI logs it, so that an attempt without an answer can be asked about.
                extra_headers={"X-Client-Request-Id": request.attempt_id},
            )
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            raise self._broken(error) from error
        request_id = response.headers.get("x-request-id")
        # Some megabytes of JSON and base64.
        return await asyncio.to_thread(self._read, response, request_id)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

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

    def _refusal(self, error: openai.APIStatusError) -> ProviderError:
        """Return our error for an answer that is none."""
        body: dict[str, Any] = error.body if isinstance(error.body, dict) else {}
        message, request_id = str(body.get("message") or "no message"), error.request_id
        if error.code in _REFUSED:
            return ContentRefused(
                self.name, message, dispatched=_was_drawn(body), request_id=request_id
            )
        if error.code in _NO_MONEY:
            # A 429 too, but no waiting helps.
            return AuthOrBilling(self.name, message, request_id=request_id)
        if error.code == "model_not_found" or (error.status_code == 400 and error.param == "model"):
            return ModelGone(self.name, message, request_id=request_id)
        return error_for_status(
            self.name, error.status_code, message, error.response.headers, request_id
        )

    def _broken(self, error: openai.APIConnectionError) -> ProviderError:
        """Return our error for an answer that did not come."""
        cause = error.__cause__
        if isinstance(cause, _NEVER_SENT):
            return ConnectFailed(self.name, f"No connection: {type(cause).__name__}.")
        return TimeoutUnknown(self.name, f"Sent, but no answer: {type(cause or error).__name__}.")


def _was_drawn(body: dict[str, Any]) -> Dispatched:
    """Say whether an image may have been made before the content was refused."""
    details = body.get("moderation_details")
    stage = details.get("moderation_stage") if isinstance(details, dict) else None
    return "no" if stage == "input" else "unknown"


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
