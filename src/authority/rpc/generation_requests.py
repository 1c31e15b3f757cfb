"""Reads what submitters ask for. What the fields may be, `generations.requests` says."""

from __future__ import annotations

from collections.abc import Mapping

from authority.domain.errors import Violation
from authority.domain.generations import GenerationFilter, GenerationState, Visibility
from authority.domain.ids import is_owned_id, tenant_of
from authority.rpc.generation_convert import KINDS, REUSES, ROLES
from authority.rpc.requests import Reader, enum_name
from authority.usecases.artifact_urls import LIFE_SECONDS_DEFAULT, LIFE_SECONDS_MAX
from authority.usecases.generations import Submission
from authority.v1 import generation_service_pb2 as messages
from generations.catalogue import MODEL_NAME_LENGTH_MAX
from generations.models import Kind
from generations.setting_checks import MESSAGES_MAX, REFERENCES_MAX
from generations.settings import Message, Priority, Role, Settings
from generations.violations import InvalidRequest as Wrong
from similarity.stages import Reuse
from similarity.structured import FIELD_COUNT_MAX, VALUE_COUNT_MAX, Context
from similarity.structured import read_context as read_values

EXPIRE_AFTER_MS_MIN = 1_000
EXPIRE_AFTER_MS_MAX = 30 * 86_400_000

_SHOWN_LENGTH_MAX = 64
_REUSES = {value: word for word, value in REUSES.items()}
_ROLES = {value: role for role, value in ROLES.items()}


def read_submission(reader: Reader, request: messages.SubmitGenerationRequest) -> Submission:
    """Read a submission; what is wrong with its own fields is noted, not raised."""
    key, account = reader.key(request.idempotency_key), reader.account(request.account)
    priority = enum_name(messages.Priority, request.priority)
    reuse = _read_reuse(reader, request)
    return Submission(
        idempotency_key=key,
        account=account,
        kind=read_kind(reader, request.kind) or "",
        prompt=request.prompt,
        model=request.model,
        size=request.size,
        quality=request.quality,
        count=request.count,
        settings=read_settings(reader, request.settings),
        priority=reader.word("priority", "PRIORITY", priority, Priority, Priority.NORMAL),
        expire_after_ms=_read_expire_after(reader, request),
        parent_id=_read_parent(reader, request.parent_id, account),
        reuse=reuse,
        accept_entry_id=_read_accepted(reader, request, account),
        context=read_context(reader, request.context),
    )


def read_context(reader: Reader, context: Mapping[str, messages.ContextValues]) -> Context | None:
    """Read what a request is about; None if it does not say."""
    # A message of gRPC has room for millions, and nobody is served while they are looked at.
    if len(context) > FIELD_COUNT_MAX:
        reader.wrong("context", f"has {len(context)} names; at most {FIELD_COUNT_MAX} are allowed")
        return None
    given = {name: held.values[: VALUE_COUNT_MAX + 1] for name, held in context.items()}
    for name, values in given.items():
        if not name.isprintable():
            reader.wrong("context", "has a name with what can't be printed")
        if not values:
            reader.wrong(f"context.{name[:_SHOWN_LENGTH_MAX]}", "has no value; leave it out")
    try:
        return read_values(given) or None
    except Wrong as error:
        reader.violations += [Violation(*violation) for violation in error.violations]
        return None


def read_filter(reader: Reader, request: messages.ListGenerationsRequest) -> GenerationFilter:
    """Read which generations to list."""
    state = enum_name(messages.GenerationState, request.state)
    account = reader.account(request.account)
    wanted = GenerationFilter(
        account=account,
        kind=read_kind(reader, request.kind) or "",
        state=reader.word("state", "GENERATION_STATE", state, GenerationState, None)
        if request.state
        else "",
        model=reader.text("model", request.model, MODEL_NAME_LENGTH_MAX),
        favourites_only=request.favourites_only,
        parent_id=_read_parent(reader, request.parent_id, account),
        start_ms=reader.time("start_time", request),
        end_ms=reader.time("end_time", request),
    )
    if wanted.end_ms and wanted.start_ms >= wanted.end_ms:
        reader.wrong("end_time", "must be later than start_time")
    return wanted


def read_ttl_seconds(reader: Reader, request: messages.CreateArtifactUrlRequest) -> int:
    """Read how long a URL is to last, in whole seconds."""
    if not request.HasField("ttl"):
        return LIFE_SECONDS_DEFAULT
    if not 1 <= request.ttl.seconds <= LIFE_SECONDS_MAX:
        reader.wrong("ttl", "must be from 1 second to 7 days")
    return request.ttl.seconds


def read_visibility(reader: Reader, number: messages.Visibility.ValueType) -> Visibility:
    """Read a visibility."""
    name = enum_name(messages.Visibility, number)
    return reader.word("visibility", "VISIBILITY", name, Visibility, None)


def read_kind(reader: Reader, number: int) -> Kind | None:
    """Read a kind; None if it is not set."""
    for kind, value in KINDS.items():
        if value == number:
            return kind
    if number:
        names = ", ".join(f"KIND_{kind.name}" for kind in KINDS)
        reader.wrong("kind", f"must be one of {names}")
    return None


def read_settings(reader: Reader, settings: messages.Settings) -> Settings:
    """Read the settings; what their values may be is checked with the whole request."""
    # A message of gRPC has room for millions of empty ones, and nobody is served while they are
    # looked at.
    for field, given, most in (
        ("settings.messages", len(settings.messages), MESSAGES_MAX),
        ("settings.references", len(settings.references), REFERENCES_MAX),
    ):
        if given > most:
            reader.wrong(field, f"are {given}; at most {most} are allowed")
    said = tuple(
        Message(
            _read_role(reader, f"settings.messages[{index}].role", message.role), message.content
        )
        for index, message in enumerate(settings.messages[:MESSAGES_MAX])
    )
    return Settings(
        negative_prompt=settings.negative_prompt,
        seed=settings.seed if settings.HasField("seed") else None,
        steps=settings.steps if settings.HasField("steps") else None,
        style=settings.style,
        output_format=settings.output_format,
        references=tuple(settings.references[:REFERENCES_MAX]),
        mask=settings.mask,
        system=settings.system,
        messages=said,
        max_tokens=settings.max_tokens if settings.HasField("max_tokens") else None,
        temperature=settings.temperature if settings.HasField("temperature") else None,
        seconds=settings.seconds if settings.HasField("seconds") else None,
    )


def _read_role(reader: Reader, field: str, number: messages.Role.ValueType) -> Role:
    if number in _ROLES:
        return _ROLES[number]
    reader.wrong(field, f"must be one of {', '.join(f'ROLE_{role.name}' for role in ROLES)}")
    return Role.USER


def _read_expire_after(reader: Reader, request: messages.SubmitGenerationRequest) -> int | None:
    if not request.HasField("expire_after"):
        return None
    span = request.expire_after
    span_ms = span.seconds * 1_000 + span.nanos // 1_000_000
    if not EXPIRE_AFTER_MS_MIN <= span_ms <= EXPIRE_AFTER_MS_MAX:
        reader.wrong("expire_after", "must be from 1 second to 30 days")
    return span_ms


def _read_reuse(reader: Reader, request: messages.SubmitGenerationRequest) -> Reuse:
    """Read what of the cache may serve a request."""
    if not request.reuse:
        return Reuse.BY_POLICY
    reuse = _REUSES.get(request.reuse)
    if reuse is None:
        names = ", ".join(f"REUSE_{word.name}" for word in REUSES)
        reader.wrong("reuse", f"must be one of {names}")
        return Reuse.BY_POLICY
    if request.parent_id and reuse not in {Reuse.OFF, Reuse.REFRESH}:
        reader.wrong(
            "reuse", "must be REUSE_OFF or REUSE_REFRESH with a parent_id; it is made anew"
        )
    return reuse


def _read_accepted(reader: Reader, request: messages.SubmitGenerationRequest, account: str) -> str:
    """Read the entry that is to serve a request."""
    entry_id = request.accept_entry_id
    if not entry_id:
        return ""
    if not (is_owned_id(entry_id) and tenant_of(entry_id) == tenant_of(account)):
        reader.wrong("accept_entry_id", "must be the id of an entry of the tenant: `tenant/uuid`")
    if request.reuse:
        reader.wrong("accept_entry_id", "must not be set with `reuse`; leave one of them out")
    if request.parent_id:
        reader.wrong("accept_entry_id", "must not be set with `parent_id`; leave one of them out")
    return entry_id


def _read_parent(reader: Reader, parent_id: str, account: str) -> str:
    if parent_id and not (is_owned_id(parent_id) and tenant_of(parent_id) == tenant_of(account)):
        reader.wrong("parent_id", "must be the id of a generation of the tenant: `tenant/uuid`")
    return parent_id
