"""Calls by plain HTTP: one request that is never repeated, and files that are copied out.

What is sent by `send_once` may cost money, so that nothing here repeats it, whatever happens. To
copy a file costs nothing, and is repeated while faults pass.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from workers.providers.errors import ConnectFailed, Dispatched, ProviderFailed, TimeoutUnknown

CONNECT_SECONDS_MAX = 5
DELAY_SECONDS_MIN = 0.2
DELAY_SECONDS_MAX = 5.0
DELAY_GROWTH = 1.5
REDIRECTS_MAX = 5
IMAGE_BYTES_MAX = 64 * 1024 * 1024
VIDEO_BYTES_MAX = 256 * 1024 * 1024

Sleep = Callable[[float], Awaitable[None]]

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_PASSING_STATUSES = {408, 429}
_SERVER_ERROR = 500
# They tell how the content came, and it has been unpacked since.
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}


class TooLarge(ValueError):
    """It is longer than it may be."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"it is larger than {bytes_max} bytes")


def make_client(
    base_url: str, authorization: str, seconds_max: float, **headers: str
) -> httpx.AsyncClient:
    """Return a client whose every call carries the key; it follows nobody to another host."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": authorization, **headers},
        timeout=httpx.Timeout(seconds_max, connect=CONNECT_SECONDS_MAX),
    )


async def send_once(
    provider: str,
    client: httpx.AsyncClient,
    path: str,
    *,
    seconds_max: float,
    bytes_max: int = IMAGE_BYTES_MAX,
    **content: Any,
) -> httpx.Response:
    """POST a request, once, and return its answer of whatever status, read to its end.

    Raises ConnectFailed if nothing was sent, TimeoutUnknown if no whole answer came within
    `seconds_max`, and ProviderFailed for one that is too large.
    """
    dispatched: Dispatched = "unknown"
    try:
        async with (
            asyncio.timeout(seconds_max),
            client.stream("POST", path, **content) as response,
        ):
            if response.is_success:
                dispatched = "yes"
            return await _read_response(response, bytes_max)
    except _NEVER_SENT as error:
        raise ConnectFailed(provider, f"No connection: {type(error).__name__}.") from error
    except (httpx.HTTPError, TimeoutError) as error:
        problem = type(error).__name__
        raise TimeoutUnknown(provider, f"Sent, but no answer: {problem}.") from error
    except TooLarge as error:
        message = f"The answer can't be used: {error}."
        raise ProviderFailed(provider, message, dispatched=dispatched) from None


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the answer's object; an empty one where there is none."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def is_passing_status(status: int) -> bool:
    """Say whether a status may be another one soon."""
    return status in _PASSING_STATUSES or status >= _SERVER_ERROR


def delays() -> Iterator[float]:
    """Return the seconds to wait before each further question, longer and longer, for ever."""
    delay = DELAY_SECONDS_MIN
    while True:
        yield delay
        delay = min(delay * DELAY_GROWTH, DELAY_SECONDS_MAX)


async def ask(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    is_passing: Callable[[httpx.Response], bool],
    sleep: Sleep,
) -> httpx.Response:
    """Ask for what costs nothing, again and again while faults pass; the caller limits the time.

    An answer that is larger than IMAGE_BYTES_MAX says nothing.
    """
    for delay in delays():
        try:
            async with client.stream(method, path) as stream:
                try:
                    response = await _read_response(stream, IMAGE_BYTES_MAX)
                except TooLarge:
                    return httpx.Response(stream.status_code)
            if not is_passing(response):
                return response
        except httpx.HTTPError:
            pass
        await sleep(delay)
    raise AssertionError("the delays have no end")


class Copier:
    """Copies files from where a provider has put them; these hosts are shown no key.

    Where they are, the provider's answer says alone. A worker may reach what nobody else should, so
    that a provider whose API is at an https: URL leads to no other: what answers there has shown a
    certificate for its name, which services within a network don't have.
    """

    def __init__(self, api_url: str, *, seconds_max: float, sleep: Sleep = asyncio.sleep) -> None:
        timeout = httpx.Timeout(seconds_max, connect=CONNECT_SECONDS_MAX)
        self._is_secure = api_url.startswith("https:")
        self._files = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            event_hooks={"request": [self._check]},
        )
        self._sleep = sleep

    async def copy(self, url: str, bytes_max: int) -> bytes:
        """Return a file's bytes, after as many tries as it takes; the caller limits the time.

        Raises ValueError for what no repetition helps.
        """
        if url.startswith("data:"):
            return await asyncio.to_thread(_decode_data_url, url, bytes_max)
        if not url.startswith(("https://", "http://")):
            raise ValueError("its URL is neither https:, http: nor data:")
        for delay in delays():
            try:
                async with self._files.stream("GET", url) as response:
                    if response.is_success:
                        return await _read_limited(response, bytes_max)
                    if not is_passing_status(response.status_code):
                        raise ValueError(f"it was answered with HTTP {response.status_code}")
            except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
                raise ValueError(f"its URL leads nowhere: {type(error).__name__}") from None
            except httpx.HTTPError:
                pass
            await self._sleep(delay)
        raise AssertionError("the delays have no end")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._files.aclose()

    async def _check(self, request: httpx.Request) -> None:
        """Look at each request before it is sent, also at those that others have led to."""
        if self._is_secure and request.url.scheme != "https":
            raise ValueError("its URL leads to where no https: is spoken")


async def _read_response(response: httpx.Response, bytes_max: int) -> httpx.Response:
    """Return an answer whose content has come. Raises TooLarge."""
    content = await _read_limited(response, bytes_max)
    headers = [(n, v) for n, v in response.headers.multi_items() if n not in _OF_THE_WIRE]
    return httpx.Response(response.status_code, headers=headers, content=content)


async def _read_limited(response: httpx.Response, bytes_max: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > bytes_max:
            raise TooLarge(bytes_max)
    return bytes(content)


def _decode_data_url(url: str, bytes_max: int) -> bytes:
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise ValueError("its data: URL is not in base64")
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        raise ValueError("its data: URL is not in base64") from None
    if len(content) > bytes_max:
        raise TooLarge(bytes_max)
    return content
