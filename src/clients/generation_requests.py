"""What submitters ask for, as values that batches take and repeat, and on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import generation_service_pb2 as messages
from clients.errors import InvalidRequest, Violation
from clients.generation_types import (
    ChatMessage,
    GenerationState,
    Kind,
    Priority,
    Reuse,
    SettingsFields,
    Visibility,
)
from clients.requests import duration_to_proto, invalid, message, new_key, time_to_proto


@dataclass(frozen=True, slots=True)
class Submission:
    """Asks for a generation, as `submit` does. What is empty or None is not set.

    `reuse` is what of the cache may serve it, `accept_entry_id` the entry that is to, and `context`
    what it is about, such as `{"cuisine": ["thai"]}`. `settings` are the fields of Settings that
    its kind takes, such as `{"seed": 7}`.
    """

    account: str
    prompt: str = field(repr=False)
    kind: Kind | None = None
    model: str = ""
    size: str = ""
    quality: str = ""
    count: int | None = None
    priority: Priority | None = None
    expire_after: timedelta | None = None
    parent_id: str = ""
    reuse: Reuse = Reuse.POLICY
    accept_entry_id: str = ""
    context: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    settings: SettingsFields = field(default_factory=SettingsFields, repr=False)
    idempotency_key: str = field(default_factory=new_key)


def submission_to_proto(submission: Submission) -> messages.SubmitGenerationRequest:
    """Return the request. Raises InvalidRequest naming each field that has no form on the wire."""
    return message(
        messages.SubmitGenerationRequest,
        idempotency_key=submission.idempotency_key,
        account=submission.account,
        prompt=submission.prompt,
        kind=kind_to_proto(submission.kind),
        model=submission.model,
        size=submission.size,
        quality=submission.quality,
        count=submission.count or 0,
        settings=settings_to_proto(submission.settings),
        priority=messages.Priority.Value(f"PRIORITY_{submission.priority or 'UNSPECIFIED'}"),
        expire_after=duration_to_proto(submission.expire_after),
        parent_id=submission.parent_id,
        reuse=messages.Reuse.Value(f"REUSE_{submission.reuse}"),
        accept_entry_id=submission.accept_entry_id,
        context=context_to_proto(submission.context),
    )


def listing(
    account: str,
    *,
    kind: Kind | None,
    state: GenerationState | None,
    model: str,
    favourites_only: bool,
    parent_id: str,
    start_time: datetime | None,
    end_time: datetime | None,
    page_size: int,
) -> messages.ListGenerationsRequest:
    """Return the request for a first page."""
    return message(
        messages.ListGenerationsRequest,
        account=account,
        kind=kind_to_proto(kind),
        state=messages.GenerationState.Value(f"GENERATION_STATE_{state or 'UNSPECIFIED'}"),
        model=model,
        favourites_only=favourites_only,
        parent_id=parent_id,
        start_time=time_to_proto(start_time),
        end_time=time_to_proto(end_time),
        page_size=page_size,
    )


def change(
    generation_id: str, *, favourite: bool | None, visibility: Visibility | None
) -> messages.UpdateGenerationRequest:
    """Return the request to change what is not None."""
    changes = {"favourite": favourite, "visibility": visibility}
    return message(
        messages.UpdateGenerationRequest,
        generation_id=generation_id,
        favourite=bool(favourite),
        visibility=messages.Visibility.Value(f"VISIBILITY_{visibility or 'UNSPECIFIED'}"),
        update_mask=FieldMask(paths=[name for name, value in changes.items() if value is not None]),
    )


def kind_to_proto(kind: Kind | None) -> messages.Kind.ValueType:
    """Return the proto's value; None is not set."""
    return messages.Kind.Value(f"KIND_{kind or 'UNSPECIFIED'}")


def context_to_proto(
    context: Mapping[str, Sequence[str]] | None,
) -> dict[str, messages.ContextValues]:
    """Return the proto's messages. Raises InvalidRequest, TypeError for a text as values."""
    made = {}
    for name, values in (context or {}).items():
        if isinstance(values, str):
            raise TypeError("the values of a context's name are a list of texts, not one text")
        try:
            made[name] = message(messages.ContextValues, values=values)
        except InvalidRequest as error:
            raise invalid(*_within("context", error.violations)) from error
    return made


def settings_to_proto(settings: SettingsFields) -> messages.Settings | None:
    """Return the proto's message; None if nothing is set. Raises InvalidRequest."""
    if not settings:
        return None
    fields: dict[str, Any] = {**settings, "messages": _chat_messages(settings.get("messages", ()))}
    try:
        return message(messages.Settings, **fields)
    except InvalidRequest as error:
        raise invalid(*_within("settings", error.violations)) from error


def _chat_messages(said: Sequence[ChatMessage]) -> list[messages.ChatMessage]:
    made = []
    for index, item in enumerate(said):
        role = messages.Role.Value(f"ROLE_{item.role}")
        try:
            made.append(message(messages.ChatMessage, role=role, content=item.content))
        except InvalidRequest as error:
            within = f"settings.messages[{index}]"
            raise invalid(*_within(within, error.violations)) from error
    return made


def _within(field: str, violations: Sequence[Violation]) -> list[Violation]:
    return [Violation(f"{field}.{name}", text) for name, text in violations]
