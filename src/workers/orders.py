"""What is sent to a provider: the request with its style worked in, and the files that it names."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from generations.artifacts import ArtifactMissing, ArtifactStore
from generations.catalogue import Catalogue
from generations.settings import Settings
from generations.styles import steered
from workers.providers.base import OnProgress, ProducedFile, ProviderRequest, no_progress
from workers.rows import Artifact, Attempt, Claim
from workers.store import WorkStore


class InputMissing(Exception):
    """A file that the request names is not there any more."""


class Inputs(NamedTuple):
    """The files that a request's settings name."""

    references: tuple[ProducedFile, ...] = ()
    mask: ProducedFile | None = None


NO_INPUTS = Inputs()


async def read_inputs(store: WorkStore, artifacts: ArtifactStore, settings: Settings) -> Inputs:
    """Read the files that settings name; best before anything is held for them.

    Raises InputMissing, generations.artifacts.StoreFailed and DatabaseAway.
    """
    named = [*settings.references, *([settings.mask] if settings.mask else [])]
    if not named:
        return NO_INPUTS
    found = await store.find_artifacts(named)
    files = [await _read(artifacts, artifact_id, found.get(artifact_id)) for artifact_id in named]
    return Inputs(tuple(files[: len(settings.references)]), files[-1] if settings.mask else None)


def order(
    catalogue: Catalogue,
    claim: Claim,
    attempt: Attempt,
    inputs: Inputs = NO_INPUTS,
    on_progress: OnProgress = no_progress,
) -> ProviderRequest:
    """Return what the provider of an attempt is asked for."""
    request, option = claim.request, attempt.option
    prompt, settings = request.prompt, request.settings
    # Not by `find`, which refuses a model that was retired since: its call may have to be resumed.
    models = (model for model in catalogue.models(request.kind) if model.name == option.model)
    model = next(models, None)
    if model is not None:
        prompt, settings = steered(model, prompt, settings)
    return ProviderRequest(
        kind=request.kind,
        model=option.model,
        prompt=prompt,
        size=request.size,
        quality=option.quality,
        count=request.count,
        attempt_id=f"{claim.generation_id}:{attempt.number}",
        user=hashlib.sha256(f"paymaster:{request.account}".encode()).hexdigest(),
        settings=settings,
        references=inputs.references,
        mask=inputs.mask,
        on_progress=on_progress,
    )


async def _read(
    artifacts: ArtifactStore, artifact_id: str, artifact: Artifact | None
) -> ProducedFile:
    if artifact is None:
        raise InputMissing(f"The image {artifact_id} is not there any more.")
    try:
        pieces = [piece async for piece in artifacts.get(artifact.object_key)]
    except ArtifactMissing:
        raise InputMissing(f"The file of the image {artifact_id} is gone.") from None
    return ProducedFile(b"".join(pieces), artifact.media_type, None, None)
