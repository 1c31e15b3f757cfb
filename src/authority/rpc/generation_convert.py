"""Between the messages of GenerationService and the domain's values."""

from __future__ import annotations

from datetime import date

from authority.domain.generations import Artifact, Generation
from authority.v1 import generation_service_pb2 as messages
from generations.models import Kind, Model

# The kinds that callers can ask for.
KINDS = {Kind.IMAGE: messages.KIND_IMAGE}


def generation_to_proto(generation: Generation) -> messages.Generation:
    """Return the proto's message."""
    request = generation.request
    message = messages.Generation(
        generation_id=generation.generation_id,
        account=str(request["account"]),
        kind=KINDS[Kind(str(request["kind"]))],
        state=messages.GenerationState.Value(f"GENERATION_STATE_{generation.state}"),
        prompt=str(request["prompt"]),
        requested_model=str(request["model"]),
        size=str(request["size"]),
        quality=str(request["quality"]),
        count=int(request["count"]),
        provider=generation.provider,
        model=generation.model,
        downgraded=generation.downgraded,
        cached=generation.cached,
        cost=generation.cost_micros,
        saved=generation.saved_micros,
        reservation_id=generation.reservation_id,
        error_reason=generation.error_reason,
        error_message=generation.error_message,
        attempt_count=generation.attempt_count,
        artifacts=map(_artifact, generation.artifacts),
    )
    message.create_time.FromDatetime(generation.create_time)
    if generation.end_time is not None:
        message.end_time.FromDatetime(generation.end_time)
    return message


def model_to_proto(model: Model, today: date) -> messages.Model:
    """Return the proto's message, with the status as of a day."""
    return messages.Model(
        provider=model.provider,
        model=model.name,
        kind=KINDS[model.kind],
        status=model.status_on(today),
        retire_date=model.retire_date.isoformat() if model.retire_date else "",
        substitute=model.substitute,
        sizes=model.sizes,
        qualities=model.qualities,
        note=model.note,
    )


def _artifact(artifact: Artifact) -> messages.Artifact:
    return messages.Artifact(
        artifact_id=artifact.artifact_id,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
    )
