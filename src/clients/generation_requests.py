"""From what submitters give to the messages of GenerationService."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from authority.v1 import generation_service_pb2 as messages
from clients.errors import InvalidRequest, Violation
from clients.generation_types import ChatMessage, Kind, Priority, SettingsFields
from clients.requests import duration_to_proto, invalid, message


def submission(
    account: str,
    prompt: str,
    *,
    kind: Kind | None,
    model: str,
    size: str,
    quality: str,
    count: int,
    priority: Priority | None,
    expire_after: timedelta | None,
    parent_id: str,
    idempotency_key: str,
    settings: SettingsFields,
) -> messages.SubmitGenerationRequest:
    """Return the request. Raises InvalidRequest naming each field that has no form on the wire."""
    return message(
        messages.SubmitGenerationRequest,
        idempotency_key=idempotency_key,
        account=account,
        prompt=prompt,
        kind=kind_to_proto(kind),
        model=model,
        size=size,
        quality=quality,
        count=count,
        settings=_settings(settings) if settings else None,
        priority=messages.Priority.Value(f"PRIORITY_{priority or 'UNSPECIFIED'}"),
        expire_after=duration_to_proto(expire_after),
        parent_id=parent_id,
    )


def kind_to_proto(kind: Kind | None) -> messages.Kind.ValueType:
    """Return the proto's value; None is not set."""
    return messages.Kind.Value(f"KIND_{kind or 'UNSPECIFIED'}")


def _settings(settings: SettingsFields) -> messages.Settings:
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
