"""The similarity cache as owners see and steer it: its entries, its counts, and policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from authority.domain.cache import (
    HITS_SHOWN_MAX,
    JOINED,
    BinCounts,
    CacheEntry,
    CacheHit,
    CacheStore,
    Counts,
    EntryFilter,
    Purge,
    StatsFilter,
)
from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.errors import InvalidRequest, NotFound, Violation
from authority.domain.ids import PLATFORM, tenant_of
from authority.usecases.context import Context
from generations.violations import InvalidRequest as Wrong
from similarity.gate import GATED_STAGES, Bin
from similarity.policy import PPM, CachePolicy

log = structlog.get_logger(__name__)

# Where two things of a policy are by kind, a change names some of the kinds.
_BY_KIND = ("deepest", "ttl_seconds")


@dataclass(frozen=True, slots=True)
class CacheContext:
    """What these use cases work with, wired by `authority.wiring`."""

    context: Context
    cache: CacheStore
    now: Callable[[], datetime]


class EffectivePolicy(NamedTuple):
    """The policy that counts for an account, and whose it is; '' for what counts without any."""

    policy: CachePolicy
    source_account: str


class GatedBin(NamedTuple):
    """What was said of a range of the score, and what follows from it."""

    counts: BinCounts
    bound_ppm: int
    is_open: bool


class CacheStats(NamedTuple):
    """What was counted, and what is known of the errors of each range."""

    counts: Counts
    hit_count: int
    join_count: int
    hit_rate_ppm: int
    bins: Sequence[GatedBin]


async def list_entries(
    context: CacheContext, wanted: EntryFilter, before: str, limit: int
) -> list[CacheEntry]:
    """Return a page of a tenant's entries, the latest first. Raises Unavailable."""
    return await context.cache.entries(wanted, before, limit)


async def get_entry(context: CacheContext, entry_id: str) -> tuple[CacheEntry, Sequence[CacheHit]]:
    """Return an entry with what it was served for. Raises NotFound and Unavailable."""
    entry = await context.cache.entry(entry_id)
    if entry is None:
        raise NotFound("cache entry", entry_id)
    return entry, await context.cache.hits_of(entry_id, HITS_SHOWN_MAX)


async def get_stats(
    context: CacheContext, tenant: str, account: str, start_ms: int, end_ms: int
) -> CacheStats:
    """Return the counts of a time. Raises NotFound (the account) and Unavailable."""
    accounts: Sequence[str] | None = None
    if account:
        context.context.policies.forget(tenant_of(account))
        accounts = (await context.context.policies.of(account)).below(account)
        tenant = tenant_of(account)
    counts = await context.cache.counts(StatsFilter(tenant, accounts, start_ms, end_ms))
    hits = sum(found.hit_count for found in counts.stages if found.stage != JOINED)
    joins = sum(found.hit_count for found in counts.stages if found.stage == JOINED)
    # What was looked up before the time may be served within it.
    rate = min(PPM, hits * PPM // counts.lookup_count) if counts.lookup_count else 0
    bins = [] if account else await _bins(context, tenant)
    return CacheStats(counts, hits, joins, rate, bins)


async def _bins(context: CacheContext, tenant: str) -> list[GatedBin]:
    found = [counts for counts in await context.cache.bins(tenant) if counts.stage in GATED_STAGES]
    allowed = {
        name: (await get_policy(context, name)).policy.max_error_ppm
        for name in dict.fromkeys(counts.tenant for counts in found)
    }
    return [
        GatedBin(counts, seen.bound_ppm, seen.is_open(allowed[counts.tenant]))
        for counts in found
        for seen in [Bin.of(counts.stage, counts.match_count, counts.mismatch_count)]
    ]


async def purge(context: CacheContext, chosen: Purge, cause: Cause, *, dry_run: bool) -> int:
    """Remove entries, and record it; return how many. What was made stays. Raises Unavailable."""

    def change(count: int) -> Change:
        asked = {name: value for name, value in chosen._asdict().items() if value}
        if chosen.older_than is not None:
            asked["older_than"] = f"{chosen.older_than.total_seconds():g}s"
        return Change(
            tenant=chosen.tenant or PLATFORM,
            account="",
            method="PurgeCache",
            resource_type="cache",
            resource=chosen.entry_id or chosen.tenant or "all",
            cause=cause,
            before=None,
            after={**asked, "entry_count": count},
            change_time=context.now(),
        )

    return await context.cache.purge(chosen, None if dry_run else change)


async def get_policy(context: CacheContext, account: str) -> EffectivePolicy:
    """Return the policy that counts. Raises NotFound (the account) and Unavailable."""
    chain = await _chain(context, account)
    return _effective(chain, await context.cache.policies(chain))


async def update_policy(
    context: CacheContext, account: str, changes: Mapping[str, Any] | None, cause: Cause
) -> EffectivePolicy:
    """Change an account's own policy from what counts for it now; None takes it away.

    Args:
        context: what it works with.
        account: whose policy it is.
        changes: as similarity.policy encodes them; of what is by kind, some kinds.
        cause: who asks, and why.

    Raises:
        InvalidRequest: a field is wrong.
        NotFound: there is no such account.
        Unavailable: the ledger is away; the outcome may be unknown.

    """
    chain = await _chain(context, account)

    def change(
        own: dict[str, dict[str, Any]],
    ) -> tuple[dict[str, Any] | None, Change]:
        after = None if changes is None else _changed(_effective(chain, own).policy, changes)
        recorded = Change(
            tenant=tenant_of(account),
            account=account,
            method="UpdateCachePolicy",
            resource_type="cache_policy",
            resource=account,
            cause=cause,
            before=own.get(account),
            after=after if after is not None else {"reset": True},
            change_time=context.now(),
        )
        return after, recorded

    await context.cache.change_policy(chain, change)
    return await get_policy(context, account)


async def _chain(context: CacheContext, account: str) -> list[str]:
    """Return the account and those above it within the tenant, the nearest first."""
    # Read anew: an account may have been moved, and no script tells that here.
    context.context.policies.forget(tenant_of(account))
    policy = await context.context.policies.of(account)
    return [node.account for node in policy.chain(account)]


def _effective(chain: Sequence[str], own: Mapping[str, dict[str, Any]]) -> EffectivePolicy:
    for account in chain:
        if account in own:
            try:
                return EffectivePolicy(CachePolicy.decode(own[account]), account)
            except Wrong:
                # Of a later version, maybe: what it forbids is not known, so nothing is allowed.
                log.exception("cache_policy_unreadable", account=account)
                return EffectivePolicy(CachePolicy(is_enabled=False), account)
    return EffectivePolicy(CachePolicy(), "")


def _changed(policy: CachePolicy, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy with changes, encoded and checked. Raises InvalidRequest."""
    before = policy.encode()
    merged = {**before, **changes}
    for name in _BY_KIND:
        merged[name] = {**before[name], **changes.get(name, {})}
    try:
        return CachePolicy.decode(merged).encode()
    except Wrong as error:
        raise InvalidRequest([Violation(*violation) for violation in error.violations]) from error
