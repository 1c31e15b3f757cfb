"""From the domain's values of the cache to its messages."""

from __future__ import annotations

from dataclasses import asdict

from authority.domain.cache import CacheEntry, CacheHit, Standing, Verdict
from authority.rpc.cache_requests import MODES
from authority.rpc.generation_convert import KINDS, context_to_proto
from authority.usecases.cache import CacheStats, EffectivePolicy, GatedBin
from authority.v1 import cache_service_pb2 as messages
from similarity.policy import CachePolicy
from similarity.structured import StructuredPolicy


def entry_to_proto(entry: CacheEntry) -> messages.CacheEntry:
    """Return the proto's message."""
    message = messages.CacheEntry(
        entry_id=entry.entry_id,
        generation_id=entry.generation_id,
        kind=KINDS[entry.kind],
        prompt=entry.prompt,
        model=entry.model,
        quality=entry.quality,
        size=entry.size,
        context=context_to_proto(entry.context),
        cost=entry.cost,
        status=messages.CacheEntryStatus.Value(f"CACHE_ENTRY_STATUS_{entry.status}"),
        strike_count=entry.strike_count,
        hit_count=entry.hit_count,
        saved=entry.saved,
    )
    message.create_time.FromDatetime(entry.create_time)
    message.last_use_time.FromDatetime(entry.last_use_time)
    message.expire_time.FromDatetime(entry.expire_time)
    return message


def hit_to_proto(hit: CacheHit) -> messages.CacheHit:
    """Return the proto's message."""
    message = messages.CacheHit(
        generation_id=hit.generation_id,
        account=hit.account,
        entry_id=hit.entry_id,
        source_generation_id=hit.source_generation_id,
        stage=hit.stage,
        score_ppm=hit.score_ppm,
        saved=hit.saved,
        verdict=verdict_to_proto(hit.verdict),
        prompt=hit.prompt,
        sampled=hit.sampled,
    )
    message.create_time.FromDatetime(hit.create_time)
    if hit.book_time is not None:
        message.book_time.FromDatetime(hit.book_time)
    if hit.verdict_time is not None:
        message.verdict_time.FromDatetime(hit.verdict_time)
    if hit.reverse_time is not None:
        message.reverse_time.FromDatetime(hit.reverse_time)
    return message


def verdict_to_proto(verdict: Verdict | None) -> messages.CacheVerdict.ValueType:
    """Return the proto's value."""
    return messages.CacheVerdict.Value(f"CACHE_VERDICT_{verdict or 'UNSPECIFIED'}")


def status_to_proto(standing: Standing | None) -> messages.CacheEntryStatus.ValueType:
    """Return the proto's value of an entry that may be gone."""
    status = "UNSPECIFIED" if standing is None else standing.status
    return messages.CacheEntryStatus.Value(f"CACHE_ENTRY_STATUS_{status}")


def stats_to_proto(stats: CacheStats) -> messages.GetCacheStatsResponse:
    """Return the proto's message."""
    counts = stats.counts
    return messages.GetCacheStatsResponse(
        lookup_count=counts.lookup_count,
        hit_count=stats.hit_count,
        hit_rate_ppm=stats.hit_rate_ppm,
        join_count=stats.join_count,
        saved=sum(stage.saved for stage in counts.stages),
        reversed=sum(stage.reversed for stage in counts.stages),
        stages=[messages.CacheStageStats(**stage._asdict()) for stage in counts.stages],
        skips=[messages.CacheSkip(**asdict(skip)) for skip in counts.skips],
        match_count=sum(stage.match_count for stage in counts.stages),
        mismatch_count=sum(stage.mismatch_count for stage in counts.stages),
        sample_count=counts.sample_count,
        judged_sample_count=counts.judged_sample_count,
        bins=map(_bin, stats.bins),
        top_entries=[messages.CacheEntryUse(**use._asdict()) for use in counts.top_entries],
        entry_count=counts.entry_count,
    )


def policy_to_proto(policy: CachePolicy) -> messages.CachePolicy:
    """Return the proto's message."""
    message = messages.CachePolicy(
        enabled=policy.is_enabled,
        stages={kind.value: stage.value for kind, stage in policy.deepest.items()},
        chat_tier=policy.chat_tier,
        structured=None if policy.structured is None else _structured(policy.structured),
        max_error_ppm=policy.max_error_ppm,
        sample_ppm=policy.sample_ppm,
    )
    for kind, span in policy.ttl.items():
        message.ttl[kind.value].FromTimedelta(span)
    return message


def got_policy(found: EffectivePolicy) -> messages.GetCachePolicyResponse:
    """Return the proto's message."""
    return messages.GetCachePolicyResponse(
        policy=policy_to_proto(found.policy), source_account=found.source_account
    )


def _structured(policy: StructuredPolicy) -> messages.CacheStructuredPolicy:
    fields = [
        messages.CacheField(
            name=field.name,
            weight=field.weight,
            mode=MODES[field.mode],
            bound_ppm=field.bound_ppm,
        )
        for field in policy.fields
    ]
    return messages.CacheStructuredPolicy(fields=fields, threshold_ppm=policy.threshold_ppm)


def _bin(found: GatedBin) -> messages.CacheBin:
    return messages.CacheBin(
        **found.counts._asdict(), bound_ppm=found.bound_ppm, open=found.is_open
    )
