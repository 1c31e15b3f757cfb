"""From the messages of GenerationService to the values that callers see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from authority.v1 import generation_service_pb2
from clients import generation_types
from clients.convert import time_from_proto, word
from clients.errors import NearMatches


def generation_from_proto(
    message: generation_service_pb2.Generation, *, replayed: bool = False, warning: str = ""
) -> generation_types.Generation:
    """Return the generation."""
    return generation_types.Generation(
        generation_id=message.generation_id,
        account=message.account,
        kind=kind_from_proto(message.kind),
        state=word(
            generation_types.GenerationState,
            generation_service_pb2.GenerationState,
            "GENERATION_STATE_",
            message.state,
        ),
        prompt=message.prompt,
        requested_model=message.requested_model,
        size=message.size,
        quality=message.quality,
        count=message.count,
        provider=message.provider,
        model=message.model,
        downgraded=message.downgraded,
        downgrade_reason=message.downgrade_reason,
        downgrade_budget=message.downgrade_budget,
        cached=message.cached,
        cost=message.cost,
        saved=message.saved,
        reservation_id=message.reservation_id,
        error_reason=message.error_reason,
        error_message=message.error_message,
        attempt_count=message.attempt_count,
        artifacts=tuple(
            generation_types.Artifact(
                artifact_id=artifact.artifact_id,
                media_type=artifact.media_type,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                delete_time=time_from_proto(artifact.delete_time),
            )
            for artifact in message.artifacts
        ),
        create_time=time_from_proto(message.create_time),
        end_time=time_from_proto(message.end_time),
        settings=_settings(message.settings),
        priority=word(
            generation_types.Priority,
            generation_service_pb2.Priority,
            "PRIORITY_",
            message.priority,
        ),
        deadline_time=time_from_proto(message.deadline_time),
        parent_id=message.parent_id,
        stage=message.stage,
        progress_percent=message.progress_percent if message.HasField("progress_percent") else None,
        favourite=message.favourite,
        visibility=word(
            generation_types.Visibility,
            generation_service_pb2.Visibility,
            "VISIBILITY_",
            message.visibility,
        ),
        reuse=word(generation_types.Reuse, generation_service_pb2.Reuse, "REUSE_", message.reuse),
        accept_entry_id=message.accept_entry_id,
        context=context_from_proto(message.context),
        replayed=replayed,
        warning=warning,
    )


def generation_from_answer(
    response: generation_service_pb2.SubmitGenerationResponse,
) -> generation_types.Generation | NearMatches:
    """Return the generation of a submission, or the error if it was not taken in."""
    if response.suggestions:
        return NearMatches(tuple(map(suggestion_from_proto, response.suggestions)))
    return generation_from_proto(
        response.generation, replayed=response.replayed, warning=response.warning
    )


def url_from_proto(
    response: generation_service_pb2.CreateArtifactUrlResponse,
) -> generation_types.ArtifactUrl:
    """Return the URL."""
    return generation_types.ArtifactUrl(response.url, time_from_proto(response.expire_time))


def model_from_proto(message: generation_service_pb2.Model) -> generation_types.Model:
    """Return the model."""
    return generation_types.Model(
        provider=message.provider,
        model=message.model,
        kind=kind_from_proto(message.kind),
        status=message.status,
        retire_date=date.fromisoformat(message.retire_date) if message.retire_date else None,
        substitute=message.substitute,
        sizes=tuple(message.sizes),
        qualities=tuple(message.qualities),
        note=message.note,
        settings=tuple(message.settings),
        output_formats=tuple(message.output_formats),
    )


def style_from_proto(message: generation_service_pb2.Style) -> generation_types.Style:
    """Return the style."""
    return generation_types.Style(
        message.name, message.suffix, message.negative_prompt, message.note
    )


def suggestion_from_proto(
    message: generation_service_pb2.ReuseSuggestion,
) -> generation_types.ReuseSuggestion:
    """Return the suggestion."""
    return generation_types.ReuseSuggestion(
        entry_id=message.entry_id,
        generation_id=message.generation_id,
        prompt=message.prompt,
        model=message.model,
        score_ppm=message.score_ppm,
        stage=message.stage,
        objection=message.objection,
        saved=message.saved,
    )


def context_from_proto(
    context: Mapping[str, generation_service_pb2.ContextValues],
) -> dict[str, tuple[str, ...]]:
    """Return what a request is about."""
    return {name: tuple(held.values) for name, held in context.items()}


def kind_from_proto(number: int) -> generation_types.Kind:
    """Return the kind."""
    return word(generation_types.Kind, generation_service_pb2.Kind, "KIND_", number)


def _settings(message: generation_service_pb2.Settings) -> generation_types.Settings:
    return generation_types.Settings(
        negative_prompt=message.negative_prompt,
        seed=message.seed if message.HasField("seed") else None,
        steps=message.steps if message.HasField("steps") else None,
        style=message.style,
        output_format=message.output_format,
        references=tuple(message.references),
        mask=message.mask,
        system=message.system,
        messages=tuple(map(_chat_message, message.messages)),
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
        temperature=message.temperature if message.HasField("temperature") else None,
        seconds=message.seconds if message.HasField("seconds") else None,
    )


def _chat_message(message: generation_service_pb2.ChatMessage) -> generation_types.ChatMessage:
    role = word(generation_types.Role, generation_service_pb2.Role, "ROLE_", message.role)
    return generation_types.ChatMessage(role, message.content)
