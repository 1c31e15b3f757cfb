"""fal's queue: submit once, then ask until the job has ended, then copy its files.

A job is submitted by one POST that is never repeated. Everything after it is reading, which costs
nothing and is repeated while faults pass; and since the queue keeps the job, a worker that died can
go on reading with `resume`. The queue retries its own failures.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from generations.models import Quality
from workers.providers import fal_answers
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.errors import (
    ConnectFailed,
    ContentRefused,
    InvalidRequest,
    ProviderFailed,
    TimeoutUnknown,
)
from workers.providers.fal_answers import Job, json_object
from workers.providers.pictures import pixels, read_picture

IMAGES_MAX = 4
FILE_BYTES_MAX = 64 * 1024 * 1024
CONNECT_SECONDS_MAX = 5
DELAY_SECONDS_MIN = 0.2
DELAY_SECONDS_MAX = 5.0
DELAY_GROWTH = 1.5

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_REMOTE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class FalQueue:
    """Makes images at fal, or at what speaks like its queue.

    `seconds_max` is how long a job may take after it was accepted, `call_seconds_max` how long one
    call of it; `sleep` is what waits between two questions.
    """

    name = fal_answers.NAME

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        seconds_max: float,
        call_seconds_max: float = 30,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        timeout = httpx.Timeout(call_seconds_max, connect=CONNECT_SECONDS_MAX)
        self._queue = httpx.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Key {key}"}, timeout=timeout
        )
        # The files lie on other hosts, which must not be shown the key.
        self._files = httpx.AsyncClient(timeout=timeout, follow_redirects=True)
        self._seconds_max = seconds_max
        self._sleep = sleep

    async def generate(
        self, request: ProviderRequest, *, on_submitted: OnSubmitted
    ) -> ProviderResult:
        """Submit the job and wait for it. Raises ProviderError, and what `on_submitted` raises."""
        remote_id = await self._submit(request, self._input(request))
        await on_submitted(remote_id)
        return await self.resume(request, remote_id)

    async def resume(self, request: ProviderRequest, remote_id: str) -> ProviderResult:
        """Wait for a job that was accepted, and copy its files. Raises ProviderError."""
        assert _REMOTE_ID.fullmatch(remote_id), "it is one that `generate` gave"
        # Jobs are kept by application: a model's sub-path does not count.
        application = "/".join(request.model.split("/")[:2])
        path = f"/{application}/requests/{remote_id}"
        try:
            async with asyncio.timeout(self._seconds_max):
                job = await self._job(path)
                files = [await self._file(url, job) for url in job.urls]
        except TimeoutError:
            message = f"The job {remote_id} has not ended within {self._seconds_max:g} s."
            raise TimeoutUnknown(self.name, message, request_id=remote_id) from None
        return ProviderResult(tuple(files), job.usage, remote_id, job.request_id or remote_id)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._queue.aclose()
        await self._files.aclose()

    def _input(self, request: ProviderRequest) -> dict[str, Any]:
        """Return the model's input. Raises InvalidRequest for what no model of fal takes."""
        try:
            width, height = pixels(request.size)
        except ValueError as error:
            raise InvalidRequest(self.name, str(error)) from None
        if request.count > IMAGES_MAX:
            raise InvalidRequest(
                self.name, f"At most {IMAGES_MAX} images at once; {request.count} were asked for."
            )
        body: dict[str, Any] = {
            "prompt": request.prompt,
            "image_size": {"width": width, "height": height},
            "num_images": request.count,
        }
        if request.quality not in tuple(Quality):
            # Our own classes mean that the model has no setting of quality.
            body["quality"] = request.quality
        return body

    async def _submit(self, request: ProviderRequest, body: dict[str, Any]) -> str:
        """Put the job into the queue by the one POST, and return its id."""
        try:
            response = await self._queue.post(f"/{request.model}", json=body)
        except _NEVER_SENT as error:
            problem = type(error).__name__
            raise ConnectFailed(self.name, f"No connection: {problem}.") from error
        except httpx.HTTPError as error:
            problem = type(error).__name__
            raise TimeoutUnknown(self.name, f"Sent, but no answer: {problem}.") from error
        if not response.is_success:
            raise fal_answers.submit_error(response)
        remote_id = json_object(response).get("request_id")
        if not isinstance(remote_id, str) or not _REMOTE_ID.fullmatch(remote_id):
            raise ProviderFailed(self.name, "The job was accepted without an id that can be used.")
        return remote_id

    async def _job(self, path: str) -> Job:
        """Wait for the job's end and return what its result says."""
        problem = await self._wait(f"{path}/status")
        response = await self._get(path)
        if not response.is_success:
            raise fal_answers.job_error(response)
        if problem is not None:
            raise ProviderFailed(self.name, problem, request_id=fal_answers.request_id_of(response))
        job = fal_answers.read_job(response)
        if not job.urls:
            raise ContentRefused(
                self.name,
                "Every image was withheld by the safety checker.",
                dispatched="yes",
                usage=job.usage,
                request_id=job.request_id,
            )
        return job

    async def _wait(self, path: str) -> str | None:
        """Wait until the job is completed; return its error if it completed with one."""
        for delay in _delays():
            response = await self._get(path)
            if not response.is_success:
                raise fal_answers.job_error(response)
            answer = json_object(response)
            if answer.get("status") == "COMPLETED":
                problem = answer.get("error")
                return None if problem is None else str(problem)
            await self._sleep(delay)
        raise AssertionError("the delays have no end")

    async def _get(self, path: str) -> httpx.Response:
        """Read from the queue, again and again while faults pass; the caller limits the time."""
        for delay in _delays():
            try:
                response = await self._queue.get(path)
                if not fal_answers.is_passing(response):
                    return response
            except httpx.HTTPError:
                pass
            await self._sleep(delay)
        raise AssertionError("the delays have no end")

    async def _file(self, url: str, job: Job) -> ProducedFile:
        """Copy a file. It has been paid for, so that faults in reading are waited out."""
        try:
            content = await self._download(url)
            return await asyncio.to_thread(read_picture, content)
        except ValueError as error:
            raise ProviderFailed(
                self.name,
                f"A file of the result can't be used: {error}.",
                dispatched="yes",
                usage=job.usage,
                request_id=job.request_id,
            ) from None

    async def _download(self, url: str) -> bytes:
        """Return a file's bytes. Raises ValueError for what no repetition helps."""
        if url.startswith("data:"):
            return await asyncio.to_thread(_decode_data_url, url)
        if not url.startswith(("https://", "http://")):
            raise ValueError("its URL is neither https:, http: nor data:")
        for delay in _delays():
            try:
                async with self._files.stream("GET", url) as response:
                    if response.is_success:
                        return await _read_limited(response)
                    if not fal_answers.is_passing_status(response.status_code):
                        raise ValueError(f"it was answered with HTTP {response.status_code}")
            except httpx.TransportError:
                pass
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ValueError(f"its URL leads nowhere: {type(error).__name__}") from None
            await self._sleep(delay)
        raise AssertionError("the delays have no end")


def _delays() -> Iterator[float]:
    """Return the seconds to wait before each further question, longer and longer, for ever."""
    delay = DELAY_SECONDS_MIN
    while True:
        yield delay
        delay = min(delay * DELAY_GROWTH, DELAY_SECONDS_MAX)


async def _read_limited(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    return bytes(content)


def _decode_data_url(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise ValueError("its data: URL is not in base64")
    return base64.b64decode(data, validate=True)
