"""GenerationService: takes generations in and shows them. Workers make them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import astuple
from typing import Any

import grpc
from google.rpc import status_pb2

from authority.domain.errors import InvalidRequest, NotFound, PaymasterError, Unavailable
from authority.domain.ids import is_owned_id
from authority.rpc.caller import current_caller
from authority.rpc.generation_convert import (
    KINDS,
    generation_to_proto,
    model_to_proto,
    style_to_proto,
    suggestion_to_proto,
)
from authority.rpc.generation_requests import (
    read_filter,
    read_kind,
    read_submission,
    read_ttl_seconds,
    read_visibility,
)
from authority.rpc.outcomes import outcome_of
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader
from authority.usecases.artifact_urls import ArtifactUrls
from authority.usecases.generations import (
    GenerationContext,
    Submission,
    cancel_generation,
    check,
    get_artifact,
    get_generations,
    list_generations,
    retry_generation,
    submit,
    update_generation,
    watch_generation,
)
from authority.v1 import generation_service_pb2 as messages
from authority.v1 import generation_service_pb2_grpc
from generations.artifacts import ArtifactMissing, ArtifactStore, StoreFailed
from generations.styles import styles

BATCH_MAX = 500
SUBMISSIONS_MAX = 1_000
# Each waits for a connection to Postgres in turn; more would only wait longer.
_SUBMISSIONS_AT_ONCE = 8
# Clients of most languages take answers of up to 4 MiB, and a chat may have 200 kB.
PAGE_BYTES_MAX = 3 * 1024 * 1024
_ROWS_AT_ONCE = 100
# They cost next to nothing while nothing changes.
WATCHERS_MAX = 1_000
_ARTIFACT = re.compile(r"(.+)/\d{1,3}")

Call = grpc.aio.ServicerContext[Any, Any]


class GenerationServicer(generation_service_pb2_grpc.GenerationServiceServicer):
    """What submitters use. Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(
        self,
        context: GenerationContext,
        artifacts: ArtifactStore,
        urls: ArtifactUrls,
        draining: asyncio.Event,
    ) -> None:
        self._context = context
        self._artifacts = artifacts
        self._urls = urls
        self._draining = draining
        self._watcher_count = 0

    async def SubmitGeneration(
        self, request: messages.SubmitGenerationRequest, context: Call
    ) -> messages.SubmitGenerationResponse:
        # A caller may leave halfway: the row is written at once, and should its job not be enqueued
        # any more, the workers' reconciler does it.
        return await self._submit(request)

    async def BatchSubmitGenerations(
        self, request: messages.BatchSubmitGenerationsRequest, context: Call
    ) -> messages.BatchSubmitGenerationsResponse:
        count = len(request.requests)
        if not 1 <= count <= SUBMISSIONS_MAX:
            raise InvalidRequest.of(
                "requests", f"must have 1 to {SUBMISSIONS_MAX} requests, not {count}"
            )
        places = asyncio.Semaphore(_SUBMISSIONS_AT_ONCE)

        async def take_in(item: messages.SubmitGenerationRequest) -> object:
            async with places:
                return await outcome_of(self._submit, item)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take_in(item)) for item in request.requests]
        return messages.BatchSubmitGenerationsResponse(
            results=[_submission_result(task.result()) for task in tasks]
        )

    async def GetGeneration(
        self, request: messages.GetGenerationRequest, context: Call
    ) -> messages.GetGenerationResponse:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        reader.finish()
        (found,) = await get_generations(self._context, [request.generation_id])
        return messages.GetGenerationResponse(generation=generation_to_proto(found))

    async def WatchGeneration(
        self, request: messages.WatchGenerationRequest, context: Call
    ) -> AsyncIterator[messages.WatchGenerationResponse]:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        reader.finish()
        if self._watcher_count >= WATCHERS_MAX:
            raise Unavailable(
                f"This process has {WATCHERS_MAX} watchers already; try again, or GetGeneration."
            )
        self._watcher_count += 1
        try:
            async with aclosing(
                watch_generation(self._context, request.generation_id, self._draining)
            ) as shown:
                async for generation in shown:
                    yield messages.WatchGenerationResponse(
                        generation=generation_to_proto(generation)
                    )
        finally:
            self._watcher_count -= 1

    async def UpdateGeneration(
        self, request: messages.UpdateGenerationRequest, context: Call
    ) -> messages.UpdateGenerationResponse:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        mask = reader.mask(request.update_mask, ("favourite", "visibility"))
        visibility = read_visibility(reader, request.visibility) if "visibility" in mask else None
        reader.finish()
        changed = await update_generation(
            self._context,
            request.generation_id,
            favourite=request.favourite if "favourite" in mask else None,
            visibility=visibility,
        )
        return messages.UpdateGenerationResponse(generation=generation_to_proto(changed))

    async def CancelGeneration(
        self, request: messages.CancelGenerationRequest, context: Call
    ) -> messages.CancelGenerationResponse:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        reader.finish()
        asked = await cancel_generation(self._context, request.generation_id)
        return messages.CancelGenerationResponse(generation=generation_to_proto(asked))

    async def RetryGeneration(
        self, request: messages.RetryGenerationRequest, context: Call
    ) -> messages.RetryGenerationResponse:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        reader.finish()
        found = await retry_generation(self._context, request.generation_id)
        return messages.RetryGenerationResponse(generation=generation_to_proto(found))

    async def BatchGetGenerations(
        self, request: messages.BatchGetGenerationsRequest, context: Call
    ) -> messages.BatchGetGenerationsResponse:
        reader = Reader()
        ids = request.generation_ids
        if not 1 <= len(ids) <= BATCH_MAX:
            reader.wrong("generation_ids", f"must have 1 to {BATCH_MAX} ids, not {len(ids)}")
        for index, generation_id in enumerate(ids[:BATCH_MAX]):
            _check_generation_id(reader, f"generation_ids[{index}]", generation_id)
        reader.finish()
        found = await get_generations(self._context, ids)
        return messages.BatchGetGenerationsResponse(generations=map(generation_to_proto, found))

    async def ListGenerations(
        self, request: messages.ListGenerationsRequest, context: Call
    ) -> messages.ListGenerationsResponse:
        reader = Reader()
        wanted = read_filter(reader, request)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["generations", *map(str, astuple(wanted))]
        (last,) = read_page_token(request.page_token, scope, [""])
        shown: list[messages.Generation] = []
        room, is_more = PAGE_BYTES_MAX, True
        while is_more and room > 0 and len(shown) < size:
            count = min(size - len(shown), _ROWS_AT_ONCE)
            rows = await list_generations(self._context, wanted, last, count + 1)
            is_more = len(rows) > count
            for generation in map(generation_to_proto, rows[:count]):
                room -= generation.ByteSize()
                if room < 0 and shown:
                    is_more = True
                    break
                shown.append(generation)
                last = generation.generation_id
        return messages.ListGenerationsResponse(
            generations=shown, next_page_token=make_page_token(scope, [last]) if is_more else ""
        )

    async def DownloadArtifact(
        self, request: messages.DownloadArtifactRequest, context: Call
    ) -> AsyncIterator[messages.DownloadArtifactResponse]:
        reader = Reader()
        _check_artifact_id(reader, request.artifact_id)
        reader.finish()
        artifact = await get_artifact(self._context, request.artifact_id)
        try:
            async for piece in self._artifacts.get(artifact.object_key):
                yield messages.DownloadArtifactResponse(chunk=piece)
        except ArtifactMissing:
            raise NotFound("artifact", request.artifact_id) from None
        except StoreFailed as error:
            raise Unavailable(str(error)) from error

    async def CreateArtifactUrl(
        self, request: messages.CreateArtifactUrlRequest, context: Call
    ) -> messages.CreateArtifactUrlResponse:
        reader = Reader()
        _check_artifact_id(reader, request.artifact_id)
        seconds = read_ttl_seconds(reader, request)
        reader.finish()
        artifact = await get_artifact(self._context, request.artifact_id)
        made = await self._urls.create(self._artifacts, artifact, seconds)
        response = messages.CreateArtifactUrlResponse(url=made.url)
        if made.expire_s is not None:
            response.expire_time.FromSeconds(made.expire_s)
        return response

    async def ListModels(
        self, request: messages.ListModelsRequest, context: Call
    ) -> messages.ListModelsResponse:
        reader = Reader()
        only = read_kind(reader, request.kind)
        reader.finish()
        today = self._context.today()
        return messages.ListModelsResponse(
            models=[
                model_to_proto(model, today)
                for kind in ([only] if only else KINDS)
                for model in self._context.catalogue.models(kind)
            ]
        )

    async def ListStyles(
        self, request: messages.ListStylesRequest, context: Call
    ) -> messages.ListStylesResponse:
        return messages.ListStylesResponse(styles=map(style_to_proto, styles().values()))

    async def _submit(
        self, request: messages.SubmitGenerationRequest
    ) -> messages.SubmitGenerationResponse:
        made = await submit(self._context, self._read_submission(request), current_caller())
        return messages.SubmitGenerationResponse(
            generation=None if made.generation is None else generation_to_proto(made.generation),
            replayed=made.replayed,
            warning=made.warning,
            suggestions=map(suggestion_to_proto, made.suggestions),
        )

    def _read_submission(self, request: messages.SubmitGenerationRequest) -> Submission:
        reader = Reader()
        submission = read_submission(reader, request)
        if reader.violations:
            # All that is wrong is told at once, also what `submit` would have found.
            try:
                check(self._context, submission, self._context.today())
            except InvalidRequest as more:
                reader.violations += more.violations
            except PaymasterError:
                pass
        reader.finish()
        return submission


def _check_generation_id(reader: Reader, field: str, generation_id: str) -> None:
    if not is_owned_id(generation_id):
        reader.wrong(field, "must be the id that SubmitGeneration answered: `tenant/uuid`")


def _check_artifact_id(reader: Reader, artifact_id: str) -> None:
    named = _ARTIFACT.fullmatch(artifact_id)
    if named is None or not is_owned_id(named[1]):
        reader.wrong("artifact_id", "must be the id of an artifact that a generation has")


def _submission_result(outcome: object) -> messages.SubmitGenerationResult:
    if isinstance(outcome, status_pb2.Status):
        return messages.SubmitGenerationResult(error=outcome)
    assert isinstance(outcome, messages.SubmitGenerationResponse), outcome
    return messages.SubmitGenerationResult(response=outcome)
