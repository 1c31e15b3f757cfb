"""What was made: its bytes, and URLs by which a browser shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc

from authority.v1 import generation_service_pb2 as messages
from authority.v1.generation_service_pb2_grpc import GenerationServiceStub
from clients.channel import Client
from clients.concurrency import check_home, in_thread
from clients.connection import check_timeout
from clients.convert_generations import url_from_proto
from clients.files import PartialFile
from clients.generation_types import Artifact, ArtifactUrl
from clients.requests import duration_to_proto, message
from clients.status import error_from_rpc

_DOWNLOAD_SECONDS = 60.0


class ArtifactCalls(Client):
    """The part of the generation client that is about artifacts."""

    def _make_stub(self) -> None:
        self._stub = GenerationServiceStub(self._channel)

    async def download(
        self, artifact: Artifact | str, *, timeout: float = _DOWNLOAD_SECONDS
    ) -> bytes:
        """Return the bytes of an artifact."""
        content = bytearray()
        async for chunk in self.download_chunks(artifact, timeout=timeout):
            content += chunk
        return bytes(content)

    async def download_to(
        self, artifact: Artifact, path: Path, *, timeout: float = _DOWNLOAD_SECONDS
    ) -> None:
        """Write an artifact to a file, which is there only once it is whole and checked.

        Raises ArtifactDamaged if its bytes are not those that were stored, and OSError.
        """
        partial = await in_thread(PartialFile, path)
        try:
            async for chunk in self.download_chunks(artifact, timeout=timeout):
                await in_thread(partial.write, chunk)
            await in_thread(partial.finish, artifact)
        finally:
            await in_thread(partial.discard)

    async def download_chunks(
        self, artifact: Artifact | str, *, timeout: float = _DOWNLOAD_SECONDS
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of an artifact piece by piece, each at most 256 KiB."""
        check_home(self._home)
        request = message(messages.DownloadArtifactRequest, artifact_id=_id(artifact))
        timeout = check_timeout(timeout)
        call = self._stub.DownloadArtifact(request, timeout=timeout, metadata=self._metadata)
        try:
            async for response in call:
                yield response.chunk
        except grpc.RpcError as rpc_error:
            raise error_from_rpc(rpc_error, address=self._address, timeout=timeout) from rpc_error
        finally:
            call.cancel()  # for a caller that stops before the end

    async def artifact_url(
        self, artifact: Artifact | str, *, ttl: timedelta | None = None
    ) -> ArtifactUrl:
        """Make a URL by which a browser can show an artifact, for an hour unless `ttl` is given.

        What is public has one that does not end. Raises NoWebAddress where nothing serves it.
        """
        request = message(
            messages.CreateArtifactUrlRequest,
            artifact_id=_id(artifact),
            ttl=duration_to_proto(ttl),
        )
        return url_from_proto(await self._call(self._stub.CreateArtifactUrl, request))


def _id(artifact: Artifact | str) -> str:
    return artifact if isinstance(artifact, str) else artifact.artifact_id
