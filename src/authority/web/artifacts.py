"""GET /artifacts/{id}: a file that was made, for whoever has a signed URL; for all if it is public.

Nobody logs in here: what a URL allows is all that there is. What it does not allow looks like what
is not there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from authority.domain.errors import PaymasterError
from authority.domain.generations import Artifact, GenerationStore
from authority.domain.ids import is_owned_id
from authority.usecases.artifact_urls import ArtifactUrls
from generations.artifacts import ArtifactError, ArtifactMissing, ArtifactStore

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_POSITION = re.compile(r"\d{1,3}")
# Connections to Postgres that visitors may take at once: the ledger needs the others.
_LOOKUPS_MAX = 2
_PUBLIC_SECONDS = 300  # what was public stays so for no longer in the caches on its way
_HEADERS = {
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    # A picture may be a document with scripts, as SVG is.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}

log = structlog.get_logger(__name__)


class _Part(NamedTuple):
    first: int
    end: int  # the byte behind the last


class ArtifactPages:
    """Answers requests for artifacts."""

    def __init__(
        self, generations: GenerationStore, artifacts: ArtifactStore, urls: ArtifactUrls
    ) -> None:
        self._generations = generations
        self._artifacts = artifacts
        self._urls = urls
        self._lookups = asyncio.Semaphore(_LOOKUPS_MAX)

    async def get(self, request: Request) -> Response:
        """Answer a GET or a HEAD."""
        parts = request.path_params
        owner = f"{parts['tenant']}/{parts['generation']}"
        if not is_owned_id(owner) or not _POSITION.fullmatch(parts["position"]):
            return _missing()
        artifact_id = f"{owner}/{parts['position']}"
        query = request.query_params
        is_signed = "signature" in query or "expires" in query
        if is_signed and not self._urls.may_read(
            artifact_id, query.get("expires", ""), query.get("signature", "")
        ):
            return PlainTextResponse(
                "This URL has ended, or is not ours: ask for a new one.\n", 403
            )
        try:
            async with self._lookups:
                artifact = await self._generations.artifact(artifact_id)
        except PaymasterError:
            return _away()
        if artifact is None or not (is_signed or artifact.is_public):
            return _missing()
        return await self._answer(request, artifact)

    async def _answer(self, request: Request, artifact: Artifact) -> Response:
        share = f"public, max-age={_PUBLIC_SECONDS}" if artifact.is_public else "private"
        headers = {**_HEADERS, "ETag": f'"{artifact.sha256}"', "Cache-Control": share}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        size, status = artifact.size_bytes, 200
        part = _read_range(request.headers.get("range", ""), size)
        if part is None:
            part = _Part(0, size)
        elif part.first >= part.end:
            headers["Content-Range"] = f"bytes */{size}"
            return Response(status_code=416, headers=headers)
        else:
            status = 206
            headers["Content-Range"] = f"bytes {part.first}-{part.end - 1}/{size}"
        headers["Content-Length"] = str(part.end - part.first)
        headers["Content-Type"] = artifact.media_type
        if request.method == "HEAD" or part.first == part.end:
            return Response(status_code=status, headers=headers)
        pieces = self._artifacts.get(artifact.object_key, part)
        try:
            first = await anext(pieces)
        except ArtifactMissing:
            return _missing()
        except ArtifactError:
            log.exception("artifact_unread", artifact_id=artifact.artifact_id)
            return _away()
        return StreamingResponse(_joined(first, pieces), status_code=status, headers=headers)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _read_range(text: str, size: int) -> _Part | None:
    """Read one range; None for none, and for what no range is, which has all for its answer.

    An empty one can't be answered.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return _Part(max(0, size - int(last)), size)
    return _Part(int(first), min(size, int(last) + 1) if last else size)


def _missing() -> Response:
    return PlainTextResponse("There is no such artifact.\n", 404)


def _away() -> Response:
    return PlainTextResponse("A store does not answer; try again.\n", 503, {"Retry-After": "1"})
