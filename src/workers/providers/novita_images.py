"""Novita's images: Stable Diffusion as tasks that are asked for, Flux in one call.

A task is submitted by one POST that is never repeated, and has an id to ask for it, which a worker
that comes later may do as well. Flux answers at once. Both tell only where the images are.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Any

from generations.pricing import Usage
from workers.providers import novita_answers
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.capabilities import refuse_settings
from workers.providers.errors import InvalidRequest, ProviderFailed, TimeoutUnknown
from workers.providers.http import (
    IMAGE_BYTES_MAX,
    Copier,
    Sleep,
    ask,
    delays,
    json_object,
    make_client,
    send_once,
)
from workers.providers.novita_answers import NAME
from workers.providers.pictures import pixels, read_picture

IMAGES_MAX = 8
STEPS_MAX = 100
PROMPT_LENGTH_MAX = 1024
SIDES = range(128, 2049)
# The model that answers at once, and its address.
FLUX = "flux-1-schnell"

_SETTINGS = {"output_format", "seed", "steps"}
_STEPS, _FLUX_STEPS = 20, 4
_GUIDANCE = 7.5
_SAMPLER = "DPM++ 2M Karras"
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class NovitaImages:
    """Makes images at Novita, or at what speaks like it.

    `seconds_max` is how long a task may take after it was accepted, `call_seconds_max` how long one
    call of it and how long Flux; `sleep` is what waits between two questions.
    """

    name = NAME

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        seconds_max: float,
        call_seconds_max: float = 60,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = make_client(base_url, f"Bearer {key}", call_seconds_max)
        self._copier = Copier(base_url, seconds_max=call_seconds_max, sleep=sleep)
        self._seconds_max = seconds_max
        self._call_seconds_max = call_seconds_max
        self._sleep = sleep

    async def generate(
        self, request: ProviderRequest, *, on_submitted: OnSubmitted
    ) -> ProviderResult:
        """Make the images. Raises ProviderError, and what `on_submitted` raises."""
        if request.model == FLUX:
            return await self._make_flux(request)
        remote_id = await self._submit(_task_body(request))
        await on_submitted(remote_id)
        return await self.resume(request, remote_id)

    async def resume(self, request: ProviderRequest, remote_id: str) -> ProviderResult:
        """Wait for a task that was accepted, and copy its images. Raises ProviderError."""
        assert _TASK_ID.fullmatch(remote_id), "it is one that `generate` gave"
        try:
            async with asyncio.timeout(self._seconds_max):
                answer, request_id = await self._wait(request, remote_id)
                return await self._copy(request, answer, remote_id, request_id)
        except TimeoutError:
            message = f"The task {remote_id} has not ended within {self._seconds_max:g} s."
            raise TimeoutUnknown(self.name, message, request_id=remote_id) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._copier.aclose()

    async def _make_flux(self, request: ProviderRequest) -> ProviderResult:
        answer, request_id = await self._send(f"/v3beta/{FLUX}", _flux_body(request))
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._copy(request, answer, None, request_id)
        except TimeoutError:
            raise self._unusable("the images could not be copied in time", request.count) from None

    async def _submit(self, body: dict[str, Any]) -> str:
        """Make the task by the one POST, and return its id."""
        answer, _ = await self._send("/v3/async/txt2img", body)
        remote_id = answer.get("task_id")
        if not isinstance(remote_id, str) or not _TASK_ID.fullmatch(remote_id):
            raise ProviderFailed(self.name, "The task was accepted without an id that can be used.")
        return remote_id

    async def _send(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        response = await send_once(
            self.name, self._client, path, seconds_max=self._call_seconds_max, json=body
        )
        if not response.is_success:
            raise novita_answers.submit_error(response)
        return json_object(response), novita_answers.request_id_of(response)

    async def _wait(
        self, request: ProviderRequest, remote_id: str
    ) -> tuple[dict[str, Any], str | None]:
        """Wait until the task has ended well; return what is said of it, and the call's id."""
        path = f"/v3/async/task-result?task_id={remote_id}"
        for delay in delays():
            response = await ask(
                self._client, "GET", path, is_passing=novita_answers.is_passing, sleep=self._sleep
            )
            if not response.is_success:
                raise novita_answers.lost_task(response)
            answer, request_id = json_object(response), novita_answers.request_id_of(response)
            task = answer.get("task")
            task = task if isinstance(task, dict) else {}
            status = task.get("status")
            if status == "TASK_STATUS_SUCCEED":
                return answer, request_id
            if status == "TASK_STATUS_FAILED":
                raise novita_answers.task_error(task, request_id or remote_id)
            _report(request, task)
            await self._sleep(delay)
        raise AssertionError("the delays have no end")

    async def _copy(
        self,
        request: ProviderRequest,
        answer: dict[str, Any],
        remote_id: str | None,
        request_id: str | None,
    ) -> ProviderResult:
        """Copy the images, which have been paid for, before their URLs expire."""
        request.on_progress("copying", None)
        urls = novita_answers.image_urls(answer)
        if urls is None:
            raise self._unusable("it has no images that can be read", request.count)
        try:
            files = [await self._picture(url) for url in urls]
        except ValueError as error:
            raise self._unusable(str(error), len(urls)) from None
        usage = Usage(images=len(files))
        return ProviderResult(tuple(files), usage, remote_id, request_id or remote_id)

    async def _picture(self, url: str) -> ProducedFile:
        content = await self._copier.copy(url, IMAGE_BYTES_MAX)
        return await asyncio.to_thread(read_picture, content)

    def _unusable(self, problem: str, images: int) -> ProviderFailed:
        message = f"The result can't be used: {problem}."
        return ProviderFailed(self.name, message, dispatched="yes", usage=Usage(images=images))


def _report(request: ProviderRequest, task: dict[str, Any]) -> None:
    percent = task.get("progress_percent")
    if task.get("status") != "TASK_STATUS_PROCESSING":
        request.on_progress("queued", None)
    elif isinstance(percent, int | float) and 0 <= percent <= 100:
        request.on_progress("running", int(percent))
    else:
        request.on_progress("running", None)


def _task_body(request: ProviderRequest) -> dict[str, Any]:
    refuse_settings(NAME, request, _SETTINGS | {"negative_prompt"})
    settings = request.settings
    wanted = {
        "model_name": request.model,
        **_common(request, settings.steps or _STEPS),
        "guidance_scale": _GUIDANCE,
        "sampler_name": _SAMPLER,
        # -1 leaves it to chance.
        "seed": -1 if settings.seed is None else settings.seed,
    }
    if settings.negative_prompt:
        _check_prompt(settings.negative_prompt)
        wanted["negative_prompt"] = settings.negative_prompt
    return {
        "extra": {"response_image_type": settings.output_format or "png"},
        "request": wanted,
    }


def _flux_body(request: ProviderRequest) -> dict[str, Any]:
    refuse_settings(NAME, request, _SETTINGS)
    settings = request.settings
    # It wants a seed; one of the attempt's own is as good as chance.
    seed = zlib.crc32(request.attempt_id.encode()) if settings.seed is None else settings.seed
    return {
        "response_image_format": settings.output_format or "png",
        **_common(request, settings.steps or _FLUX_STEPS),
        "seed": seed,
    }


def _common(request: ProviderRequest, steps: int) -> dict[str, Any]:
    """Return the fields that both have. Raises InvalidRequest for what Novita would refuse."""
    try:
        width, height = pixels(request.size)
    except ValueError as error:
        raise InvalidRequest(NAME, str(error)) from None
    if width not in SIDES or height not in SIDES:
        message = f"A side has {SIDES.start} to {SIDES.stop - 1} pixels; {request.size} has not."
        raise InvalidRequest(NAME, message)
    if request.count > IMAGES_MAX:
        message = f"At most {IMAGES_MAX} images at once; {request.count} were asked for."
        raise InvalidRequest(NAME, message)
    if not 1 <= steps <= STEPS_MAX:
        raise InvalidRequest(NAME, f"It takes 1 to {STEPS_MAX} steps, not {steps}.")
    _check_prompt(request.prompt)
    return {
        "prompt": request.prompt,
        "width": width,
        "height": height,
        "image_num": request.count,
        "steps": steps,
    }


def _check_prompt(prompt: str) -> None:
    if len(prompt) > PROMPT_LENGTH_MAX:
        raise InvalidRequest(NAME, f"A prompt has at most {PROMPT_LENGTH_MAX} characters.")
