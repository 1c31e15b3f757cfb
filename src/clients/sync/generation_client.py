# Generated from clients/generation_client.py by tools/sync_client.py; edit that one.
"""Generations: images, chat and video made by workers under a budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Unpack

import grpc

from authority.v1 import generation_service_pb2 as messages
from authority.v1.generation_service_pb2_grpc import GenerationServiceStub
from clients.connection import check_timeout
from clients.convert_generations import (
    generation_from_proto,
    model_from_proto,
    style_from_proto,
)
from clients.files import PartialFile
from clients.generation_requests import kind_to_proto, submission
from clients.generation_types import (
    Artifact,
    Generation,
    Kind,
    Model,
    Priority,
    SettingsFields,
    Style,
)
from clients.requests import message, new_key
from clients.status import error_from_rpc
from clients.sync.channel import SyncClient
from clients.sync.concurrency import check_home, in_thread

_PAGE_SIZE = 500
_BATCH_MAX = 500
_POLL_SECONDS_FIRST = 0.05
_POLL_SECONDS_MAX = 0.5
_DOWNLOAD_SECONDS = 60.0


class SyncGenerationClient(SyncClient):
    """What submitters use. Errors are those of `clients.errors`."""

    def _make_stub(self) -> None:
        self._stub = GenerationServiceStub(self._channel)

    def submit(
        self,
        account: str,
        prompt: str,
        *,
        kind: Kind | None = None,
        model: str = "",
        size: str = "",
        quality: str = "",
        count: int = 1,
        priority: Priority | None = None,
        expire_after: timedelta | None = None,
        parent_id: str = "",
        idempotency_key: str | None = None,
        **settings: Unpack[SettingsFields],
    ) -> Generation:
        """Hand a generation in. The budget is asked when a worker starts it, not here.

        It is not begun, nor tried anew, `expire_after` its submission. `settings` are the fields of
        Settings that its kind takes, such as `seed=7`.
        """
        key = idempotency_key or new_key()
        request = submission(
            account,
            prompt,
            kind=kind,
            model=model,
            size=size,
            quality=quality,
            count=count,
            priority=priority,
            expire_after=expire_after,
            parent_id=parent_id,
            idempotency_key=key,
            settings=settings,
        )
        response = self._call(self._stub.SubmitGeneration, request, key=key)
        return generation_from_proto(
            response.generation, replayed=response.replayed, warning=response.warning
        )

    def get(self, generation_id: str) -> Generation:
        """Return a generation as it is now."""
        request = message(messages.GetGenerationRequest, generation_id=generation_id)
        response = self._call(self._stub.GetGeneration, request)
        return generation_from_proto(response.generation)

    def batch_get(self, generation_ids: Sequence[str]) -> list[Generation]:
        """Return up to 500 generations, in the order asked for."""
        request = message(messages.BatchGetGenerationsRequest, generation_ids=generation_ids)
        response = self._call(self._stub.BatchGetGenerations, request)
        return [generation_from_proto(generation) for generation in response.generations]

    def list_generations(self, account: str) -> Iterator[Generation]:
        """Yield the generations of an account, the latest first."""
        token = ""
        while True:
            request = message(
                messages.ListGenerationsRequest,
                account=account,
                page_size=_PAGE_SIZE,
                page_token=token,
            )
            response = self._call(self._stub.ListGenerations, request)
            for generation in response.generations:
                yield generation_from_proto(generation)
            token = response.next_page_token
            if not token:
                return

    def wait(self, generation_ids: Sequence[str], *, timeout: float) -> list[Generation]:
        """Return the generations once all have ended, in the order asked for.

        Raises TimeoutError if some have not ended after `timeout` seconds; they go on.
        """
        deadline = time.monotonic() + timeout
        ended: dict[str, Generation] = {}
        delay = _POLL_SECONDS_FIRST
        while True:
            waiting = [name for name in generation_ids if name not in ended]
            for start in range(0, len(waiting), _BATCH_MAX):
                for generation in self.batch_get(waiting[start : start + _BATCH_MAX]):
                    if generation.state.final:
                        ended[generation.generation_id] = generation
            waiting = [name for name in generation_ids if name not in ended]
            if not waiting:
                return [ended[name] for name in generation_ids]
            if time.monotonic() + delay > deadline:
                raise TimeoutError(f"{len(waiting)} generations have not ended")
            self._sleep(delay)
            delay = min(delay * 1.5, _POLL_SECONDS_MAX)

    def download(self, artifact: Artifact | str, *, timeout: float = _DOWNLOAD_SECONDS) -> bytes:
        """Return the bytes of an artifact."""
        content = bytearray()
        for chunk in self.download_chunks(artifact, timeout=timeout):
            content += chunk
        return bytes(content)

    def download_to(
        self, artifact: Artifact, path: Path, *, timeout: float = _DOWNLOAD_SECONDS
    ) -> None:
        """Write an artifact to a file, which is there only once it is whole and checked.

        Raises ArtifactDamaged if its bytes are not those that were stored, and OSError.
        """
        partial = in_thread(PartialFile, path)
        try:
            for chunk in self.download_chunks(artifact, timeout=timeout):
                in_thread(partial.write, chunk)
            in_thread(partial.finish, artifact)
        finally:
            in_thread(partial.discard)

    def download_chunks(
        self, artifact: Artifact | str, *, timeout: float = _DOWNLOAD_SECONDS
    ) -> Iterator[bytes]:
        """Yield the bytes of an artifact piece by piece, each at most 256 KiB."""
        check_home(self._home)
        artifact_id = artifact if isinstance(artifact, str) else artifact.artifact_id
        request = message(messages.DownloadArtifactRequest, artifact_id=artifact_id)
        timeout = check_timeout(timeout)
        call = self._stub.DownloadArtifact(request, timeout=timeout, metadata=self._metadata)
        try:
            for response in call:
                yield response.chunk
        except grpc.RpcError as rpc_error:
            raise error_from_rpc(rpc_error, address=self._address, timeout=timeout) from rpc_error
        finally:
            call.cancel()  # for a caller that stops before the end

    def list_models(self, kind: Kind | None = None) -> list[Model]:
        """Return the models of the price catalogue, with their status."""
        request = messages.ListModelsRequest(kind=kind_to_proto(kind))
        response = self._call(self._stub.ListModels, request)
        return [model_from_proto(model) for model in response.models]

    def list_styles(self) -> list[Style]:
        """Return the style presets, of which a request for an image or a video may name one."""
        response = self._call(self._stub.ListStyles, messages.ListStylesRequest())
        return [style_from_proto(style) for style in response.styles]
