"""The sandbox: makes placeholder pictures without a network, and says so on each of them."""

from __future__ import annotations

import asyncio

from generations.models import Quality
from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.drawing import draw_picture
from workers.providers.errors import InvalidRequest
from workers.providers.pictures import pixels

BAND = "SANDBOX · no real generation"


class Sandbox:
    """Draws each picture from the request: the same request gets the same bytes."""

    name = "sandbox"

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - it answers at once and has no remote id
    ) -> ProviderResult:
        """Draw the pictures. Raises InvalidRequest."""
        try:
            width, height = pixels(request.size)
        except ValueError as error:
            raise InvalidRequest(self.name, str(error)) from None
        contents = [
            await asyncio.to_thread(
                draw_picture,
                request.prompt,
                width=width,
                height=height,
                quality=request.quality,
                index=index,
                rich=request.quality == Quality.PREMIUM,
                band=BAND,
            )
            for index in range(request.count)
        ]
        return ProviderResult(
            files=tuple(
                ProducedFile(content=content, media_type="image/png", width=width, height=height)
                for content in contents
            ),
            usage=Usage(images=len(contents)),
            remote_id=None,
            request_id=None,
        )

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
