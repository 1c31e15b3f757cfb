"""Handing generations in: one, many, and one anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Unpack

from authority.v1 import generation_service_pb2 as messages
from authority.v1.generation_service_pb2_grpc import GenerationServiceStub
from clients.channel import Client
from clients.convert_generations import generation_from_answer
from clients.errors import NearMatches, PaymasterError
from clients.generation_requests import Submission, submission_to_proto
from clients.generation_types import Generation, Kind, Priority, Reuse, SettingsFields
from clients.requests import new_key

# What one call takes; the authority reads messages of up to 4 MiB.
_BATCH_MAX = 1_000
_BATCH_BYTES_MAX = 3 * 1024 * 1024
_BATCH_SECONDS = 30.0


class SubmitCalls(Client):
    """The part of the generation client that hands in."""

    def _make_stub(self) -> None:
        self._stub = GenerationServiceStub(self._channel)

    async def submit(
        self,
        account: str,
        prompt: str,
        *,
        kind: Kind | None = None,
        model: str = "",
        size: str = "",
        quality: str = "",
        count: int | None = None,
        priority: Priority | None = None,
        expire_after: timedelta | None = None,
        parent_id: str = "",
        reuse: Reuse = Reuse.POLICY,
        accept_entry_id: str = "",
        context: Mapping[str, Sequence[str]] | None = None,
        idempotency_key: str | None = None,
        **settings: Unpack[SettingsFields],
    ) -> Generation:
        """Hand a generation in. The budget is asked when a worker starts it, not here.

        It is not begun, nor tried anew, `expire_after` its submission. `settings` are the fields of
        Settings that its kind takes, such as `seed=7`. One with a `parent_id` is made anew, even if
        there is one already; an empty prompt is then that of the parent.

        `reuse` is what of the cache may serve it, for which `context` says what it is about. Raises
        NearMatches for Reuse.SUGGEST if there are any; nothing is handed in then, and the same key
        may be used again. `accept_entry_id` names the one to be served.
        """
        submission = Submission(
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
            reuse=reuse,
            accept_entry_id=accept_entry_id,
            context=context or {},
            settings=settings,
            idempotency_key=idempotency_key or new_key(),
        )
        return await self._submit(submission)

    async def submit_batch(
        self, submissions: Sequence[Submission], *, timeout: float = _BATCH_SECONDS
    ) -> list[Generation | PaymasterError]:
        """Hand many in, in calls of up to 1,000, each of which `timeout` (seconds) bounds.

        Returns for each, in order, its generation or the error that `submit` would have raised. One
        that is refused does not touch the others; those that are unavailable are tried again.
        Raises what befell a call as a whole; repeating it with the same submissions is safe.
        """
        outcomes: list[Generation | PaymasterError] = []
        for requests in _portions(list(map(submission_to_proto, submissions))):
            outcomes += await self._batch(
                self._stub.BatchSubmitGenerations,
                messages.BatchSubmitGenerationsRequest,
                requests,
                generation_from_answer,
                timeout,
            )
        return outcomes

    async def regenerate(
        self,
        generation: Generation,
        *,
        priority: Priority | None = None,
        idempotency_key: str | None = None,
    ) -> Generation:
        """Have made anew what was asked for by a generation; the same account pays again."""
        submission = Submission(
            generation.account,
            "",
            priority=priority,
            parent_id=generation.generation_id,
            idempotency_key=idempotency_key or new_key(),
        )
        return await self._submit(submission)

    async def _submit(self, submission: Submission) -> Generation:
        request = submission_to_proto(submission)
        response = await self._call(
            self._stub.SubmitGeneration, request, key=submission.idempotency_key
        )
        outcome = generation_from_answer(response)
        if isinstance(outcome, NearMatches):
            outcome.idempotency_key = submission.idempotency_key
            raise outcome
        return outcome


def _portions(
    requests: Sequence[messages.SubmitGenerationRequest],
) -> Iterator[list[messages.SubmitGenerationRequest]]:
    """Yield the requests in as few calls as they fit into."""
    portion: list[messages.SubmitGenerationRequest] = []
    bytes_left = _BATCH_BYTES_MAX
    for request in requests:
        if portion and (len(portion) == _BATCH_MAX or request.ByteSize() > bytes_left):
            yield portion
            portion, bytes_left = [], _BATCH_BYTES_MAX
        portion.append(request)
        bytes_left -= request.ByteSize()
    if portion:
        yield portion
