# Generated from clients/generation_client.py by tools/sync_client.py; edit that one.
"""Generations: images, chat and video made by workers under a budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime

from authority.v1 import generation_service_pb2 as messages
from clients.convert_generations import (
    generation_from_proto,
    model_from_proto,
    style_from_proto,
)
from clients.generation_requests import change, kind_to_proto, listing
from clients.generation_types import (
    Generation,
    GenerationState,
    Kind,
    Model,
    Style,
    Visibility,
)
from clients.requests import message
from clients.sync.artifact_calls import SyncArtifactCalls
from clients.sync.channel import OUTAGE_SECONDS_MAX
from clients.sync.submit_calls import SyncSubmitCalls

_PAGE_SIZE = 500
_BATCH_MAX = 500
_POLL_SECONDS_FIRST = 0.05
_POLL_SECONDS_MAX = 0.5


class SyncGenerationClient(SyncSubmitCalls, SyncArtifactCalls):
    """What submitters use. Errors are those of `clients.errors`."""

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

    def list_generations(
        self,
        account: str,
        *,
        kind: Kind | None = None,
        state: GenerationState | None = None,
        model: str = "",
        favourites_only: bool = False,
        parent_id: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> Iterator[Generation]:
        """Yield the generations of an account, the latest first: all, or those that fit.

        `model` is the one that has made them, `parent_id` what they were made anew or varied from;
        they were submitted from `start_time` on, and before `end_time`.
        """
        request = listing(
            account,
            kind=kind,
            state=state,
            model=model,
            favourites_only=favourites_only,
            parent_id=parent_id,
            start_time=start_time,
            end_time=end_time,
            page_size=_PAGE_SIZE,
        )
        for page in self._pages(self._stub.ListGenerations, request):
            for generation in page.generations:
                yield generation_from_proto(generation)

    def watch(
        self, generation_id: str, *, outage_max: float = OUTAGE_SECONDS_MAX
    ) -> Iterator[Generation]:
        """Yield a generation at once, and whenever its state or progress has changed, to its end.

        An authority that goes away is called again until it has been away for `outage_max` seconds;
        then, or if it can't be reached to begin with, this raises Unavailable.
        """
        request = message(messages.WatchGenerationRequest, generation_id=generation_id)
        shown: Generation | None = None
        with closing(self._watch(self._stub.WatchGeneration, request, outage_max)) as responses:
            for response in responses:
                generation = generation_from_proto(response.generation)
                if generation != shown:
                    shown = generation
                    yield generation
                if generation.state.final:
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

    def cancel(self, generation_id: str) -> Generation:
        """Ask for a generation to be cancelled; return it as it is now. Repeating is safe.

        What only waits is CANCELLED at once, and one at its end stays as it is. What is at work
        ends soon: as CANCELLED, or as its provider ends it, and then it is paid.
        """
        request = message(messages.CancelGenerationRequest, generation_id=generation_id)
        response = self._call(self._stub.CancelGeneration, request)
        return generation_from_proto(response.generation)

    def retry(self, generation_id: str) -> Generation:
        """Try a generation that FAILED anew; return it as it is now, QUEUED. Repeating is safe.

        Raises GenerationStateError for one that has ended otherwise: `regenerate` makes a new one.
        """
        request = message(messages.RetryGenerationRequest, generation_id=generation_id)
        response = self._call(self._stub.RetryGeneration, request)
        return generation_from_proto(response.generation)

    def update(
        self,
        generation_id: str,
        *,
        favourite: bool | None = None,
        visibility: Visibility | None = None,
    ) -> Generation:
        """Change what is not None. A favourite is kept for as long as it is one."""
        request = change(generation_id, favourite=favourite, visibility=visibility)
        response = self._call(self._stub.UpdateGeneration, request)
        return generation_from_proto(response.generation)

    def list_models(self, kind: Kind | None = None) -> list[Model]:
        """Return the models of the price catalogue, with their status."""
        request = messages.ListModelsRequest(kind=kind_to_proto(kind))
        response = self._call(self._stub.ListModels, request)
        return [model_from_proto(model) for model in response.models]

    def list_styles(self) -> list[Style]:
        """Return the style presets, of which a request for an image or a video may name one."""
        response = self._call(self._stub.ListStyles, messages.ListStylesRequest())
        return [style_from_proto(style) for style in response.styles]
