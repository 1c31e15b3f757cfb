"""Reads what is asked of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from authority.domain.cache import JOINED, STAGES, EntryFilter, Purge, Verdict
from authority.domain.ids import is_owned_id, tenant_of
from authority.rpc.generation_requests import read_context, read_kind, read_settings
from authority.rpc.requests import Reader, enum_name
from authority.usecases.cache_books import CacheBooking
from authority.usecases.generations import Submission
from authority.v1 import cache_service_pb2 as messages
from generations.catalogue import MODEL_NAME_LENGTH_MAX
from similarity.policy import PPM
from similarity.structured import Mode

TEXT_LENGTH_MAX = 200
_AGE_SECONDS_MAX = 100 * 366 * 86_400
# One more than there may be, which is refused with the rest.
_FIELDS_READ_MAX = 17
_MODES = {
    messages.CACHE_FIELD_MODE_REQUIRED: Mode.REQUIRED,
    messages.CACHE_FIELD_MODE_JACCARD: Mode.JACCARD,
    messages.CACHE_FIELD_MODE_IGNORE: Mode.IGNORE,
}
MODES = {mode: value for value, mode in _MODES.items()}
# The names of a policy's fields here, and those that similarity.policy has for them.
POLICY_NAMES = {
    "enabled": "enabled",
    "stages": "deepest",
    "chat_tier": "chat_tier",
    "structured": "structured",
    "ttl": "ttl_seconds",
    "max_error_ppm": "max_error_ppm",
    "sample_ppm": "sample_ppm",
}


def read_booking(message: messages.BookHitRequest) -> CacheBooking:
    """Read a hit that is to be booked. Raises InvalidRequest."""
    reader = Reader()
    account = reader.account(message.account)
    tenant = tenant_of(account)
    score_ppm = message.score_ppm if message.HasField("score_ppm") else None
    if score_ppm is not None and not 0 <= score_ppm <= PPM:
        reader.wrong("score_ppm", f"must be 0 to {PPM} millionths, not {score_ppm}")
    booking = CacheBooking(
        idempotency_key=reader.key(message.idempotency_key),
        account=account,
        generation_id=_owned(reader, "generation_id", message.generation_id, tenant),
        entry_id=message.entry_id,
        stage=read_stage(reader, message.stage),
        score_ppm=score_ppm,
        saved=reader.amount("saved", message.saved, least=0),
    )
    if booking.stage == JOINED and booking.entry_id:
        reader.wrong("entry_id", "must be empty for the stage `joined`, which no entry has served")
    elif booking.stage != JOINED:
        _owned(reader, "entry_id", booking.entry_id, tenant)
    reader.finish()
    return booking


def read_stage(reader: Reader, stage: str) -> str:
    """Read a stage."""
    if stage not in STAGES:
        reader.wrong("stage", f"must be one of {', '.join(STAGES)}")
    return stage


def read_verdict(reader: Reader, number: int) -> Verdict:
    """Read what is said of a hit."""
    name = enum_name(messages.CacheVerdict, number)
    return reader.word("verdict", "CACHE_VERDICT", name, Verdict, None)


def read_owned_id(reader: Reader, field: str, name: str) -> str:
    """Read the id of a generation or an entry."""
    if not is_owned_id(name):
        reader.wrong(field, "must be an id as the cache has answered it: `tenant/uuid`")
    return name


def read_filter(reader: Reader, request: messages.ListCacheEntriesRequest) -> EntryFilter:
    """Read which entries to list."""
    return EntryFilter(
        tenant=reader.tenant(request.tenant),
        text=reader.text("text", request.text, TEXT_LENGTH_MAX),
        model=reader.text("model", request.model, MODEL_NAME_LENGTH_MAX),
        stage=read_stage(reader, request.stage) if request.stage else "",
        kind=read_kind(reader, request.kind) or "",
    )


def read_span(reader: Reader, request: messages.GetCacheStatsRequest) -> tuple[int, int]:
    """Read a time, in milliseconds."""
    start_ms, end_ms = reader.time("start_time", request), reader.time("end_time", request)
    if end_ms and start_ms >= end_ms:
        reader.wrong("end_time", "must be later than start_time")
    return start_ms, end_ms


def read_wish(reader: Reader, request: messages.SuggestReuseRequest) -> Submission:
    """Read a request that others may be near to; what is wrong with it itself is not noted."""
    return Submission(
        idempotency_key="",
        account=reader.account(request.account),
        kind=read_kind(reader, request.kind) or "",
        prompt=request.prompt,
        model=request.model,
        size=request.size,
        quality=request.quality,
        count=request.count,
        settings=read_settings(reader, request.settings),
        context=read_context(reader, request.context),
    )


def read_purge(reader: Reader, request: messages.PurgeCacheRequest) -> Purge:
    """Read which entries to remove."""
    if request.tenant:
        reader.tenant(request.tenant)
    older_than: timedelta | None = None
    if request.HasField("older_than"):
        seconds = request.older_than.seconds
        # Nothing was ever kept for longer than that.
        if not 1 <= seconds <= _AGE_SECONDS_MAX:
            reader.wrong("older_than", "must be from 1 second to 100 years")
        else:
            older_than = timedelta(seconds=seconds)
    entry_id = request.entry_id
    if entry_id:
        tenant = request.tenant or tenant_of(entry_id)
        _owned(reader, "entry_id", entry_id, tenant)
    return Purge(
        tenant=request.tenant,
        entry_id=entry_id,
        model=reader.text("model", request.model, MODEL_NAME_LENGTH_MAX),
        older_than=older_than,
    )


def read_policy_change(
    reader: Reader, request: messages.UpdateCachePolicyRequest
) -> Mapping[str, Any] | None:
    """Read what to change of a policy, as similarity.policy encodes it; None to take it away."""
    if request.reset:
        if request.HasField("policy") or request.update_mask.paths:
            reader.wrong("reset", "takes neither a `policy` nor an `update_mask`; leave these out")
        return None
    mask = reader.mask(request.update_mask, POLICY_NAMES)
    policy = request.policy
    values: dict[str, Any] = {
        "enabled": policy.enabled,
        "deepest": dict(policy.stages),
        "chat_tier": policy.chat_tier,
        "structured": _structured(reader, policy),
        "ttl_seconds": {kind: span.seconds for kind, span in policy.ttl.items()},
        "max_error_ppm": policy.max_error_ppm,
        "sample_ppm": policy.sample_ppm,
    }
    names = {POLICY_NAMES[name] for name in mask if name in POLICY_NAMES}
    return {name: value for name, value in values.items() if name in names}


def _structured(reader: Reader, policy: messages.CachePolicy) -> dict[str, Any] | None:
    if not policy.HasField("structured"):
        return None
    fields = []
    for index, field in enumerate(policy.structured.fields[:_FIELDS_READ_MAX]):
        read: dict[str, Any] = {"name": field.name}
        if field.mode in _MODES:
            read["mode"] = _MODES[field.mode].value
        else:
            names = ", ".join(f"CACHE_FIELD_MODE_{mode.name}" for mode in Mode)
            reader.wrong(f"policy.structured.fields[{index}].mode", f"must be one of {names}")
        # What is 0 was not set; what a mode does not take is refused with the rest.
        read |= {"weight": field.weight} if field.weight else {}
        read |= {"bound_ppm": field.bound_ppm} if field.bound_ppm else {}
        fields.append(read)
    return {"fields": fields, "threshold_ppm": policy.structured.threshold_ppm}


def _owned(reader: Reader, field: str, name: str, tenant: str) -> str:
    if not (is_owned_id(name) and tenant_of(name) == tenant):
        reader.wrong(field, "must be an id of the tenant: `tenant/uuid`")
    return name
