"""The sandbox: makes placeholders of every kind without a network, and each says so itself."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from decimal import Decimal
from typing import Any

from generations.models import Kind, Quality
from generations.pricing import Usage
from generations.settings import NO_SETTINGS
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.chat_reply import MEDIA_TYPE, encode
from workers.providers.drawing import draw_picture
from workers.providers.errors import InvalidRequest
from workers.providers.moving import draw_video, frame_size
from workers.providers.pictures import convert_picture, pixels, read_picture
from workers.providers.writing import count_input_tokens, tokens, write_answer

BAND = "SANDBOX · no real generation"
DEFAULT_SECONDS = 5


class Sandbox:
    """Makes everything from the request alone: the same request gets the same bytes."""

    name = "sandbox"

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - it answers at once and has no remote id
    ) -> ProviderResult:
        """Make what is asked for. Raises InvalidRequest."""
        if request.kind == Kind.CHAT:
            return _answer(request)
        files = []
        try:
            width, height = (frame_size if request.kind == Kind.VIDEO else pixels)(request.size)
            for index in range(request.count):
                request.on_progress("drawing", index * 100 // request.count)
                files.append(await asyncio.to_thread(_draw, request, width, height, index))
        except ValueError as error:
            raise InvalidRequest(self.name, str(error)) from None
        return ProviderResult(tuple(files), _usage(request), remote_id=None, request_id=None)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


def _draw(request: ProviderRequest, width: int, height: int, index: int) -> ProducedFile:
    """Draw one picture or video. Raises ValueError."""
    figures: dict[str, Any] = {
        "width": width,
        "height": height,
        "quality": request.quality,
        "index": index,
        "rich": request.quality == Quality.PREMIUM,
        "band": BAND,
        "variant": _variant(request),
    }
    if request.kind == Kind.VIDEO:
        content = draw_video(request.prompt, seconds=_seconds(request), **figures)
        return ProducedFile(content, "video/mp4", width, height)
    content = draw_picture(request.prompt, **figures)
    return read_picture(convert_picture(content, request.settings.output_format))


def _variant(request: ProviderRequest) -> str:
    """Return what makes a request another one beside its common fields; nothing if it has none."""
    files = [*request.references, *([request.mask] if request.mask else ())]
    settings = dataclasses.replace(request.settings, references=(), mask="", output_format="")
    said = [json.dumps(settings.encode())] if settings != NO_SETTINGS else []
    return "\n".join((*said, *(hashlib.sha256(file.content).hexdigest() for file in files)))


def _usage(request: ProviderRequest) -> Usage:
    if request.kind == Kind.VIDEO:
        return Usage(seconds=Decimal(_seconds(request) * request.count))
    return Usage(images=request.count)


def _seconds(request: ProviderRequest) -> int:
    return request.settings.seconds or DEFAULT_SECONDS


def _answer(request: ProviderRequest) -> ProviderResult:
    """Answer a chat; where the answer is longer than it may be, it breaks off, as a model does."""
    settings = request.settings
    earlier = (settings.system, *(message.content for message in settings.messages))
    messages = (*filter(None, earlier), request.prompt)
    variant = f"{settings.seed} {settings.temperature}"
    answers = [
        tokens(write_answer(messages, variant=variant, index=index, band=BAND))
        for index in range(request.count)
    ]
    answers = [answer[: settings.max_tokens] for answer in answers]
    usage = Usage(
        text_input_tokens=count_input_tokens(messages),
        text_output_tokens=sum(map(len, answers)),
    )
    request.on_progress("answering", None)
    files = (ProducedFile(encode("".join(answer)), MEDIA_TYPE, None, None) for answer in answers)
    return ProviderResult(tuple(files), usage, remote_id=None, request_id=None)
