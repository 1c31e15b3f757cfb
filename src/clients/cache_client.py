"""The similarity cache: what it has served and saved, and what it may serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Unpack

from authority.v1 import cache_service_pb2 as messages
from authority.v1.cache_service_pb2_grpc import CacheServiceStub
from clients.cache_types import (
    BookedHit,
    CacheEntry,
    CacheEntryDetail,
    CachePolicy,
    CacheStats,
    CacheStructuredPolicy,
    HitBooking,
    HitReport,
)
from clients.channel import Client
from clients.convert_cache import (
    booked_from_proto,
    booking_to_proto,
    entry_from_proto,
    hit_from_proto,
    policy_change,
    policy_from_proto,
    report_from_proto,
    stats_from_proto,
    verdict_to_proto,
)
from clients.convert_generations import suggestion_from_proto
from clients.errors import PaymasterError
from clients.generation_requests import context_to_proto, kind_to_proto, settings_to_proto
from clients.generation_types import Kind, ReuseSuggestion, SettingsFields
from clients.requests import duration_to_proto, message, time_to_proto

_PAGE_SIZE = 500
_BATCH_MAX = 500
_STATS_SECONDS = 60.0
_PURGE_SECONDS = 60.0


class CacheClient(Client):
    """What workers book, users report and owners see. Errors are those of `clients.errors`."""

    def _make_stub(self) -> None:
        self._stub = CacheServiceStub(self._channel)

    async def book_hits(
        self, hits: Sequence[HitBooking], *, timeout: float | None = None
    ) -> list[BookedHit | PaymasterError]:
        """Book generations that the cache has served, in calls of up to 500.

        Returns for each, in order, what is in the ledger, or the error; those that are unavailable
        are tried again. Raises what befell a call as a whole; repeating it is safe.
        """
        outcomes: list[BookedHit | PaymasterError] = []
        for start in range(0, len(hits), _BATCH_MAX):
            outcomes += await self._batch(
                self._stub.BookHits,
                messages.BookHitsRequest,
                list(map(booking_to_proto, hits[start : start + _BATCH_MAX])),
                booked_from_proto,
                timeout,
            )
        return outcomes

    async def report(self, generation_id: str, *, match: bool, reason: str = "") -> HitReport:
        """Say whether what the cache has served is what was asked for; or of a sample, would be.

        A pair that does not match is never served again, and what was saved is booked back, once.
        Repeating is safe; raises GenerationStateError for one that has the other verdict, or was
        not served by the cache.
        """
        request = message(
            messages.ReportHitRequest,
            generation_id=generation_id,
            verdict=verdict_to_proto(match=match),
            reason=reason,
        )
        return report_from_proto(await self._call(self._stub.ReportHit, request))

    async def stats(
        self,
        *,
        tenant: str = "",
        account: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        timeout: float = _STATS_SECONDS,
    ) -> CacheStats:
        """Return counts of a tenant, of an account and those below it, or of all.

        They are of what was looked up or served from `start_time` on, and before `end_time`.
        """
        request = message(
            messages.GetCacheStatsRequest,
            tenant=tenant,
            account=account,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
        )
        return stats_from_proto(
            await self._call(self._stub.GetCacheStats, request, timeout=timeout)
        )

    async def list_entries(
        self,
        tenant: str,
        *,
        text: str = "",
        model: str = "",
        stage: str = "",
        kind: Kind | None = None,
        page_size: int = _PAGE_SIZE,
    ) -> AsyncIterator[CacheEntry]:
        """Yield the entries of a tenant, the latest first: all, or those that fit.

        `text` is looked for in their prompts, in whatever case; `stage` has served them. With a key
        of a tenant, `tenant` may be empty. `page_size` is how many are asked for at a time.
        """
        request = message(
            messages.ListCacheEntriesRequest,
            tenant=tenant,
            text=text,
            model=model,
            stage=stage,
            kind=kind_to_proto(kind),
            page_size=page_size,
        )
        async for page in self._pages(self._stub.ListCacheEntries, request):
            for entry in page.entries:
                yield entry_from_proto(entry)

    async def get_entry(self, entry_id: str) -> CacheEntryDetail:
        """Return an entry with what it was served for."""
        request = message(messages.GetCacheEntryRequest, entry_id=entry_id)
        response = await self._call(self._stub.GetCacheEntry, request)
        return CacheEntryDetail(
            entry_from_proto(response.entry), tuple(map(hit_from_proto, response.hits))
        )

    async def suggest(
        self,
        account: str,
        prompt: str,
        *,
        kind: Kind | None = None,
        model: str = "",
        size: str = "",
        quality: str = "",
        count: int | None = None,
        context: Mapping[str, Sequence[str]] | None = None,
        **settings: Unpack[SettingsFields],
    ) -> list[ReuseSuggestion]:
        """Return what the cache has near a request, at most 5, the nearest first."""
        request = message(
            messages.SuggestReuseRequest,
            account=account,
            prompt=prompt,
            kind=kind_to_proto(kind),
            model=model,
            size=size,
            quality=quality,
            count=count or 0,
            settings=settings_to_proto(settings),
            context=context_to_proto(context),
        )
        response = await self._call(self._stub.SuggestReuse, request)
        return [suggestion_from_proto(suggestion) for suggestion in response.suggestions]

    async def purge(
        self,
        *,
        tenant: str = "",
        entry_id: str = "",
        model: str = "",
        older_than: timedelta | None = None,
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _PURGE_SECONDS,
    ) -> int:
        """Remove the entries that fit all that is given; return how many. What was made stays.

        With nothing given, all are removed: those of the key's tenant, or of every one.
        """
        request = message(
            messages.PurgeCacheRequest,
            tenant=tenant,
            entry_id=entry_id,
            model=model,
            older_than=duration_to_proto(older_than),
            dry_run=dry_run,
            reason=reason,
        )
        return (await self._call(self._stub.PurgeCache, request, timeout=timeout)).entry_count

    async def get_policy(self, account: str) -> CachePolicy:
        """Return the policy that counts for an account; `source_account` says whose it is."""
        request = message(messages.GetCachePolicyRequest, account=account)
        response = await self._call(self._stub.GetCachePolicy, request)
        return policy_from_proto(response.policy, response.source_account)

    async def update_policy(
        self,
        account: str,
        *,
        enabled: bool | None = None,
        stages: Mapping[str, str] | None = None,
        chat_tier: bool | None = None,
        structured: CacheStructuredPolicy | None = None,
        ttl: Mapping[str, timedelta] | None = None,
        max_error_ppm: int | None = None,
        sample_ppm: int | None = None,
        reason: str = "",
    ) -> CachePolicy:
        """Change what is not None; of `stages` and `ttl`, the kinds that are given.

        The rest stays as it counts now. A `structured` without fields ends that stage.
        """
        request = policy_change(
            account,
            reason,
            enabled=enabled,
            stages=stages,
            chat_tier=chat_tier,
            structured=structured,
            ttl=ttl,
            max_error_ppm=max_error_ppm,
            sample_ppm=sample_ppm,
        )
        response = await self._call(self._stub.UpdateCachePolicy, request)
        return policy_from_proto(response.policy, response.source_account)

    async def reset_policy(self, account: str, *, reason: str = "") -> CachePolicy:
        """Take an account's own policy away; return the one that counts now."""
        request = message(
            messages.UpdateCachePolicyRequest, account=account, reset=True, reason=reason
        )
        response = await self._call(self._stub.UpdateCachePolicy, request)
        return policy_from_proto(response.policy, response.source_account)
