"""GenerationService: takes generations in and shows them. Workers make them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc

from authority.domain.errors import InvalidRequest, NotFound, PaymasterError, Unavailable
from authority.domain.ids import is_owned_id
from authority.rpc.generation_convert import (
    KINDS,
    generation_to_proto,
    model_to_proto,
    style_to_proto,
)
from authority.rpc.generation_requests import read_kind, read_submission
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader
from authority.usecases.generations import (
    GenerationContext,
    Submission,
    check,
    get_artifact,
    get_generations,
    list_generations,
    submit,
)
from authority.v1 import generation_service_pb2 as messages
from authority.v1 import generation_service_pb2_grpc
from generations.artifacts import ArtifactMissing, ArtifactStore, StoreFailed
from generations.styles import styles

BATCH_MAX = 500
_ARTIFACT = re.compile(r"(.+)/\d{1,3}")

Call = grpc.aio.ServicerContext[Any, Any]


class GenerationServicer(generation_service_pb2_grpc.GenerationServiceServicer):
    """What submitters use. Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(self, context: GenerationContext, artifacts: ArtifactStore) -> None:
        self._context = context
        self._artifacts = artifacts

    async def SubmitGeneration(
        self, request: messages.SubmitGenerationRequest, context: Call
    ) -> messages.SubmitGenerationResponse:
        # A caller may leave halfway: the row is written at once, and should its job not be enqueued
        # any more, the workers' reconciler does it.
        made = await submit(self._context, self._read_submission(request))
        return messages.SubmitGenerationResponse(
            generation=generation_to_proto(made.generation),
            replayed=made.replayed,
            warning=made.warning,
        )

    async def GetGeneration(
        self, request: messages.GetGenerationRequest, context: Call
    ) -> messages.GetGenerationResponse:
        reader = Reader()
        _check_generation_id(reader, "generation_id", request.generation_id)
        reader.finish()
        (found,) = await get_generations(self._context, [request.generation_id])
        return messages.GetGenerationResponse(generation=generation_to_proto(found))

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
        account = reader.account(request.account)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["generations", account]
        (before,) = read_page_token(request.page_token, scope, [""])
        rows = await list_generations(self._context, account, before, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].generation_id]) if len(rows) > size else ""
        return messages.ListGenerationsResponse(
            generations=map(generation_to_proto, page), next_page_token=more
        )

    async def DownloadArtifact(
        self, request: messages.DownloadArtifactRequest, context: Call
    ) -> AsyncIterator[messages.DownloadArtifactResponse]:
        reader = Reader()
        named = _ARTIFACT.fullmatch(request.artifact_id)
        if named is None or not is_owned_id(named[1]):
            reader.wrong("artifact_id", "must be the id of an artifact that a generation has")
        reader.finish()
        artifact = await get_artifact(self._context, request.artifact_id)
        try:
            async for piece in self._artifacts.get(artifact.object_key):
                yield messages.DownloadArtifactResponse(chunk=piece)
        except ArtifactMissing:
            raise NotFound("artifact", request.artifact_id) from None
        except StoreFailed as error:
            raise Unavailable(str(error)) from error

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
