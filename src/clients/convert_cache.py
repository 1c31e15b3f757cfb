"""The cache, between the proto's messages and the values that callers see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import cache_service_pb2 as messages
from clients import cache_types as types
from clients.convert import time_from_proto, word
from clients.convert_generations import context_from_proto, kind_from_proto
from clients.requests import message


def booking_to_proto(booking: types.HitBooking) -> messages.BookHitRequest:
    """Return the proto's message. Raises InvalidRequest."""
    return message(
        messages.BookHitRequest,
        idempotency_key=booking.idempotency_key,
        account=booking.account,
        generation_id=booking.generation_id,
        entry_id=booking.entry_id,
        stage=booking.stage,
        score_ppm=booking.score_ppm,
        saved=booking.saved,
    )


def booked_from_proto(response: messages.BookHitResponse) -> types.BookedHit:
    """Return the hit in the ledger."""
    return types.BookedHit(
        response.operation_id, time_from_proto(response.create_time), response.replayed
    )


def hit_from_proto(hit: messages.CacheHit) -> types.CacheHit:
    """Return the hit."""
    return types.CacheHit(
        generation_id=hit.generation_id,
        account=hit.account,
        entry_id=hit.entry_id,
        source_generation_id=hit.source_generation_id,
        stage=hit.stage,
        score_ppm=hit.score_ppm if hit.HasField("score_ppm") else None,
        saved=hit.saved,
        create_time=time_from_proto(hit.create_time),
        book_time=time_from_proto(hit.book_time),
        verdict=word(types.CacheVerdict, messages.CacheVerdict, "CACHE_VERDICT_", hit.verdict),
        verdict_time=time_from_proto(hit.verdict_time),
        reverse_time=time_from_proto(hit.reverse_time),
        prompt=hit.prompt,
        sampled=hit.sampled,
    )


def report_from_proto(response: messages.ReportHitResponse) -> types.HitReport:
    """Return what a report has done."""
    return types.HitReport(
        hit=hit_from_proto(response.hit),
        replayed=response.replayed,
        reversed=response.reversed,
        strike_count=response.strike_count,
        entry_status=_status(response.entry_status),
    )


def entry_from_proto(entry: messages.CacheEntry) -> types.CacheEntry:
    """Return the entry."""
    return types.CacheEntry(
        entry_id=entry.entry_id,
        generation_id=entry.generation_id,
        kind=kind_from_proto(entry.kind),
        prompt=entry.prompt,
        model=entry.model,
        quality=entry.quality,
        size=entry.size,
        context=context_from_proto(entry.context),
        cost=entry.cost,
        status=_status(entry.status),
        strike_count=entry.strike_count,
        hit_count=entry.hit_count,
        saved=entry.saved,
        create_time=time_from_proto(entry.create_time),
        last_use_time=time_from_proto(entry.last_use_time),
        expire_time=time_from_proto(entry.expire_time),
    )


def stats_from_proto(response: messages.GetCacheStatsResponse) -> types.CacheStats:
    """Return the counts."""
    return types.CacheStats(
        lookup_count=response.lookup_count,
        hit_count=response.hit_count,
        hit_rate_ppm=response.hit_rate_ppm,
        join_count=response.join_count,
        saved=response.saved,
        reversed=response.reversed,
        stages=tuple(map(_stage, response.stages)),
        skips=tuple(
            types.CacheSkip(skip.stage, skip.reason, skip.count) for skip in response.skips
        ),
        match_count=response.match_count,
        mismatch_count=response.mismatch_count,
        sample_count=response.sample_count,
        judged_sample_count=response.judged_sample_count,
        bins=tuple(map(_bin, response.bins)),
        top_entries=tuple(
            types.CacheEntryUse(use.entry_id, use.hit_count, use.saved, use.prompt, use.model)
            for use in response.top_entries
        ),
        entry_count=response.entry_count,
    )


def policy_from_proto(policy: messages.CachePolicy, source_account: str) -> types.CachePolicy:
    """Return the policy."""
    structured = None
    if policy.HasField("structured"):
        fields = tuple(
            types.CacheField(
                field.name,
                field.weight,
                word(
                    types.CacheFieldMode, messages.CacheFieldMode, "CACHE_FIELD_MODE_", field.mode
                ),
                field.bound_ppm,
            )
            for field in policy.structured.fields
        )
        structured = types.CacheStructuredPolicy(fields, policy.structured.threshold_ppm)
    return types.CachePolicy(
        enabled=policy.enabled,
        stages=dict(policy.stages),
        chat_tier=policy.chat_tier,
        structured=structured,
        ttl={kind: span.ToTimedelta() for kind, span in policy.ttl.items()},
        max_error_ppm=policy.max_error_ppm,
        sample_ppm=policy.sample_ppm,
        source_account=source_account,
    )


def policy_change(
    account: str,
    reason: str,
    *,
    enabled: bool | None,
    stages: Mapping[str, str] | None,
    chat_tier: bool | None,
    structured: types.CacheStructuredPolicy | None,
    ttl: Mapping[str, timedelta] | None,
    max_error_ppm: int | None,
    sample_ppm: int | None,
) -> messages.UpdateCachePolicyRequest:
    """Return the request to change what is not None. Raises InvalidRequest."""
    changes = {
        "enabled": enabled,
        "stages": stages,
        "chat_tier": chat_tier,
        "structured": structured,
        "ttl": ttl,
        "max_error_ppm": max_error_ppm,
        "sample_ppm": sample_ppm,
    }
    policy = message(
        messages.CachePolicy,
        enabled=bool(enabled),
        stages=stages,
        chat_tier=bool(chat_tier),
        structured=_structured(structured),
        max_error_ppm=max_error_ppm or 0,
        sample_ppm=sample_ppm or 0,
    )
    for kind, span in (ttl or {}).items():
        policy.ttl[kind].FromTimedelta(span)
    mask = FieldMask(paths=[name for name, value in changes.items() if value is not None])
    return message(
        messages.UpdateCachePolicyRequest,
        account=account,
        policy=policy,
        update_mask=mask,
        reason=reason,
    )


def verdict_to_proto(*, match: bool) -> messages.CacheVerdict.ValueType:
    """Return the proto's value."""
    return messages.CACHE_VERDICT_MATCH if match else messages.CACHE_VERDICT_MISMATCH


def _structured(
    structured: types.CacheStructuredPolicy | None,
) -> messages.CacheStructuredPolicy | None:
    if structured is None or not structured.fields:
        return None
    fields = [
        message(
            messages.CacheField,
            name=field.name,
            weight=field.weight,
            mode=messages.CacheFieldMode.Value(f"CACHE_FIELD_MODE_{field.mode}"),
            bound_ppm=field.bound_ppm,
        )
        for field in structured.fields
    ]
    return message(
        messages.CacheStructuredPolicy, fields=fields, threshold_ppm=structured.threshold_ppm
    )


def _stage(stage: messages.CacheStageStats) -> types.CacheStageStats:
    return types.CacheStageStats(
        stage=stage.stage,
        hit_count=stage.hit_count,
        saved=stage.saved,
        reversed=stage.reversed,
        match_count=stage.match_count,
        mismatch_count=stage.mismatch_count,
    )


def _bin(found: messages.CacheBin) -> types.CacheBin:
    return types.CacheBin(
        tenant=found.tenant,
        stage=found.stage,
        bin=found.bin,
        match_count=found.match_count,
        mismatch_count=found.mismatch_count,
        bound_ppm=found.bound_ppm,
        open=found.open,
    )


def _status(number: int) -> types.CacheEntryStatus:
    return word(types.CacheEntryStatus, messages.CacheEntryStatus, "CACHE_ENTRY_STATUS_", number)
