"""Between the messages of GenerationService and the domain's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import structlog

from authority.domain.generations import Artifact, Generation
from authority.domain.reuse import Suggestion
from authority.v1 import generation_service_pb2 as messages
from generations.models import Kind, Model
from generations.settings import Role, Settings
from generations.styles import Style
from similarity.stages import Reuse

log = structlog.get_logger(__name__)

# The kinds that callers can ask for.
KINDS = {
    Kind.IMAGE: messages.KIND_IMAGE,
    Kind.CHAT: messages.KIND_CHAT,
    Kind.VIDEO: messages.KIND_VIDEO,
}
REUSES = {
    Reuse.OFF: messages.REUSE_OFF,
    Reuse.REFRESH: messages.REUSE_REFRESH,
    Reuse.EXACT: messages.REUSE_EXACT,
    Reuse.NORMALISED: messages.REUSE_NORMALISED,
    Reuse.GUARDED: messages.REUSE_GUARDED,
    Reuse.SUGGEST: messages.REUSE_SUGGEST,
}
ROLES = {Role.USER: messages.ROLE_USER, Role.ASSISTANT: messages.ROLE_ASSISTANT}


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
        downgrade_reason=generation.downgrade_reason,
        downgrade_budget=generation.downgrade_budget,
        cached=generation.cached,
        cost=generation.cost_micros,
        saved=generation.saved_micros,
        reservation_id=generation.reservation_id,
        error_reason=generation.error_reason,
        error_message=generation.error_message,
        attempt_count=generation.attempt_count,
        artifacts=map(_artifact, generation.artifacts),
        settings=_settings(generation),
        priority=messages.Priority.Value(f"PRIORITY_{request['priority']}"),
        parent_id=str(request["parent_id"]),
        stage=generation.stage,
        progress_percent=generation.progress_percent,
        favourite=generation.favourite,
        visibility=messages.Visibility.Value(f"VISIBILITY_{generation.visibility}"),
        reuse=REUSES.get(Reuse(str(request["reuse"])), messages.REUSE_UNSPECIFIED),
        accept_entry_id=str(request["accept_entry_id"]),
        context=context_to_proto(request["context"]),
    )
    message.create_time.FromDatetime(generation.create_time)
    if generation.deadline_time is not None:
        message.deadline_time.FromDatetime(generation.deadline_time)
    if generation.end_time is not None:
        message.end_time.FromDatetime(generation.end_time)
    return message


def context_to_proto(
    context: Mapping[str, Sequence[str]] | None,
) -> dict[str, messages.ContextValues]:
    """Return the proto's messages."""
    return {name: messages.ContextValues(values=held) for name, held in (context or {}).items()}


def suggestion_to_proto(suggestion: Suggestion) -> messages.ReuseSuggestion:
    """Return the proto's message."""
    return messages.ReuseSuggestion(
        entry_id=suggestion.entry_id,
        generation_id=suggestion.generation_id,
        prompt=suggestion.prompt,
        model=suggestion.model,
        score_ppm=suggestion.score_ppm,
        stage=suggestion.stage,
        objection=suggestion.objection,
        saved=suggestion.saved,
    )


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
        settings=model.accepts.names,
        output_formats=model.accepts.output_formats,
    )


def style_to_proto(style: Style) -> messages.Style:
    """Return the proto's message."""
    return messages.Style(
        name=style.name,
        suffix=style.suffix,
        negative_prompt=style.negative_prompt,
        note=style.note,
    )


def _settings(generation: Generation) -> messages.Settings:
    """Return the settings; none where they can't be read, as those of a later version may be.

    One such generation is not to hide all others of its page.
    """
    try:
        return _settings_to_proto(Settings.decode(generation.request["settings"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("settings_unreadable", generation_id=generation.generation_id)
        return messages.Settings()


def _settings_to_proto(settings: Settings) -> messages.Settings:
    said = (
        messages.ChatMessage(role=ROLES[role], content=content)
        for role, content in settings.messages
    )
    return messages.Settings(
        negative_prompt=settings.negative_prompt,
        seed=settings.seed,
        steps=settings.steps,
        style=settings.style,
        output_format=settings.output_format,
        references=settings.references,
        mask=settings.mask,
        system=settings.system,
        messages=said,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seconds=settings.seconds,
    )


def _artifact(artifact: Artifact) -> messages.Artifact:
    message = messages.Artifact(
        artifact_id=artifact.artifact_id,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
    )
    if artifact.delete_time is not None:
        message.delete_time.FromDatetime(artifact.delete_time)
    return message
