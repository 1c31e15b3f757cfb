"""fal's queue: submit once, then ask until the job has ended, then copy its files.

A job is submitted by one POST that is never repeated. Everything after it is reading, which costs
nothing and is repeated while faults pass; and since the queue keeps the job, a worker that died can
go on reading with `resume`. The queue retries its own failures.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx

from generations.models import Kind
from generations.pricing import Usage
from workers.providers import fal_answers
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.errors import (
    AuthOrBilling,
    ContentRefused,
    ProviderError,
    ProviderFailed,
    TimeoutUnknown,
)
from workers.providers.fal_answers import Job
from workers.providers.fal_models import NAME, read_input
from workers.providers.http import (
    IMAGE_BYTES_MAX,
    VIDEO_BYTES_MAX,
    Copier,
    Sleep,
    ask,
    delays,
    json_object,
    make_client,
    send_once,
)
from workers.providers.pictures import read_picture
from workers.providers.videos import read_video

_REMOTE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class FalQueue:
    """Makes images and videos at fal, or at what speaks like its queue.

    `seconds_max` is how long a job may take after it was accepted, `call_seconds_max` how long one
    call of it; `sleep` is what waits between two questions.
    """

    name = NAME

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        seconds_max: float,
        call_seconds_max: float = 30,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._queue = make_client(base_url, f"Key {key}", call_seconds_max)
        self._copier = Copier(base_url, seconds_max=call_seconds_max, sleep=sleep)
        self._seconds_max = seconds_max
        self._call_seconds_max = call_seconds_max
        self._sleep = sleep

    async def generate(
        self, request: ProviderRequest, *, on_submitted: OnSubmitted
    ) -> ProviderResult:
        """Submit the job and wait for it. Raises ProviderError, and what `on_submitted` raises."""
        remote_id = await self._submit(request.model, read_input(request))
        await on_submitted(remote_id)
        return await self.resume(request, remote_id)

    async def resume(self, request: ProviderRequest, remote_id: str) -> ProviderResult:
        """Wait for a job that was accepted, and copy its files. Raises ProviderError."""
        try:
            async with asyncio.timeout(self._seconds_max):
                job = await self._job(request, _path(request, remote_id))
                request.on_progress("copying", None)
                files, usage = await self._copy(request, job)
        except TimeoutError:
            message = f"The job {remote_id} has not ended within {self._seconds_max:g} s."
            raise TimeoutUnknown(self.name, message, request_id=remote_id) from None
        return ProviderResult(files, usage, remote_id, job.request_id or remote_id)

    async def cancel(self, request: ProviderRequest, remote_id: str) -> None:
        """Ask for a job to be stopped; one that has ended stays as it is. Raises ProviderError.

        To ask twice is to ask once, so that faults of the queue are waited out for a while.
        """
        try:
            async with asyncio.timeout(self._call_seconds_max):
                response = await self._ask("PUT", f"{_path(request, remote_id)}/cancel")
        except TimeoutError:
            message = f"No answer to the cancelling of {remote_id}."
            raise TimeoutUnknown(self.name, message, request_id=remote_id) from None
        if response.status_code in (401, 403):
            message = f"The job can't be cancelled (HTTP {response.status_code})."
            raise AuthOrBilling(self.name, message, dispatched="unknown")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._queue.aclose()
        await self._copier.aclose()

    async def _submit(self, model: str, body: dict[str, Any]) -> str:
        """Put the job into the queue by the one POST, and return its id."""
        response = await send_once(
            self.name, self._queue, f"/{model}", seconds_max=self._call_seconds_max, json=body
        )
        if not response.is_success:
            raise fal_answers.submit_error(response)
        remote_id = json_object(response).get("request_id")
        if not isinstance(remote_id, str) or not _REMOTE_ID.fullmatch(remote_id):
            raise ProviderFailed(self.name, "The job was accepted without an id that can be used.")
        return remote_id

    async def _job(self, request: ProviderRequest, path: str) -> Job:
        """Wait for the job's end and return what its result says."""
        status = await self._wait(request, f"{path}/status?logs=1")
        response = await self._ask("GET", path)
        if fal_answers.is_cancelled(status):
            raise fal_answers.cancelled(response)
        if not response.is_success:
            raise fal_answers.job_error(response)
        problem = status.get("error")
        if problem is not None:
            request_id = fal_answers.request_id_of(response)
            raise ProviderFailed(self.name, str(problem), request_id=request_id)
        job = fal_answers.read_job(response, request.kind)
        if not job.urls:
            raise ContentRefused(
                self.name,
                "Every image was withheld by the safety checker.",
                dispatched="yes",
                usage=job.usage,
                request_id=job.request_id,
            )
        return job

    async def _wait(self, request: ProviderRequest, path: str) -> dict[str, Any]:
        """Wait until the job is completed; return its last status, which may have an error."""
        for delay in delays():
            response = await self._ask("GET", path)
            if not response.is_success:
                raise fal_answers.job_error(response)
            status = json_object(response)
            if status.get("status") == "COMPLETED":
                return status
            fal_answers.report_progress(status, request.on_progress)
            await self._sleep(delay)
        raise AssertionError("the delays have no end")

    async def _ask(self, method: str, path: str) -> httpx.Response:
        return await ask(
            self._queue, method, path, is_passing=fal_answers.is_passing, sleep=self._sleep
        )

    async def _copy(
        self, request: ProviderRequest, job: Job
    ) -> tuple[tuple[ProducedFile, ...], Usage]:
        """Copy the files, which have been paid for, and return them with what is billed."""
        try:
            if request.kind == Kind.VIDEO:
                [url] = job.urls
                content = await self._copier.copy(url, VIDEO_BYTES_MAX)
                file, seconds = await asyncio.to_thread(read_video, content)
                return (file,), replace(job.usage, seconds=seconds)
            files = [await self._picture(url) for url in job.urls]
        except ValueError as error:
            raise self._unusable(job, error) from None
        return tuple(files), job.usage

    async def _picture(self, url: str) -> ProducedFile:
        content = await self._copier.copy(url, IMAGE_BYTES_MAX)
        return await asyncio.to_thread(read_picture, content)

    def _unusable(self, job: Job, problem: ValueError) -> ProviderError:
        return ProviderFailed(
            self.name,
            f"A file of the result can't be used: {problem}.",
            dispatched="yes",
            usage=job.usage,
            request_id=job.request_id,
        )


def _path(request: ProviderRequest, remote_id: str) -> str:
    """Return where a job is. Jobs are kept by application: a model's sub-path does not count."""
    assert _REMOTE_ID.fullmatch(remote_id), "it is one that `generate` gave"
    application = "/".join(request.model.split("/")[:2])
    return f"/{application}/requests/{remote_id}"
