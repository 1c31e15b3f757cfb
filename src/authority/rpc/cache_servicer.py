"""CacheService: what workers book, what users report, and what owners see and steer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.rpc import status_pb2

from authority.domain.errors import InvalidRequest, OutOfTime, PaymasterError, Violation
from authority.rpc.cache_convert import (
    entry_to_proto,
    got_policy,
    hit_to_proto,
    policy_to_proto,
    stats_to_proto,
    status_to_proto,
)
from authority.rpc.cache_requests import (
    POLICY_NAMES,
    read_booking,
    read_filter,
    read_owned_id,
    read_policy_change,
    read_purge,
    read_span,
    read_verdict,
    read_wish,
)
from authority.rpc.caller import read_cause
from authority.rpc.convert import set_time
from authority.rpc.generation_convert import suggestion_to_proto
from authority.rpc.outcomes import outcome_of
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.rpc.status import status_of
from authority.usecases.cache import (
    CacheContext,
    get_entry,
    get_policy,
    get_stats,
    list_entries,
    purge,
    update_policy,
)
from authority.usecases.cache_books import book_hit
from authority.usecases.cache_reports import report_hit
from authority.usecases.generations import GenerationContext, check
from authority.v1 import cache_service_pb2 as messages
from authority.v1 import cache_service_pb2_grpc

HITS_MAX = 500
# As of generations, which may have as long prompts.
_PAGE_BYTES_MAX = 3 * 1024 * 1024
_ROWS_AT_ONCE = 100
# Less than a call may take, so that one that hangs does not take the others' answers along.
_BATCH_SECONDS_MAX = 20.0

Call = grpc.aio.ServicerContext[Any, Any]


class CacheServicer(cache_service_pb2_grpc.CacheServiceServicer):
    """Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(
        self, context: CacheContext, generations: GenerationContext, shield: Shield
    ) -> None:
        self._context = context
        self._generations = generations
        self._shield = shield

    async def BookHits(
        self, request: messages.BookHitsRequest, context: Call
    ) -> messages.BookHitsResponse:
        count = len(request.requests)
        if not 1 <= count <= HITS_MAX:
            raise InvalidRequest.of("requests", f"must have 1 to {HITS_MAX} requests, not {count}")
        # At the same time, so that they share the journal's transactions.
        tasks = [self._shield.start(outcome_of(self._book, hit)) for hit in request.requests]
        await asyncio.wait(tasks, timeout=_BATCH_SECONDS_MAX)
        return messages.BookHitsResponse(
            results=[_result(task.result() if task.done() else _late()) for task in tasks]
        )

    async def ReportHit(
        self, request: messages.ReportHitRequest, context: Call
    ) -> messages.ReportHitResponse:
        reader = Reader()
        generation_id = read_owned_id(reader, "generation_id", request.generation_id)
        verdict = read_verdict(reader, request.verdict)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = report_hit(self._context, self._generations, generation_id, verdict, cause)
        report = await self._shield.run(work)
        return messages.ReportHitResponse(
            hit=hit_to_proto(report.hit),
            replayed=report.replayed,
            reversed=report.reversed,
            strike_count=report.standing.strike_count if report.standing else 0,
            entry_status=status_to_proto(report.standing),
        )

    async def GetCacheStats(
        self, request: messages.GetCacheStatsRequest, context: Call
    ) -> messages.GetCacheStatsResponse:
        reader = Reader()
        if request.tenant:
            reader.tenant(request.tenant)
        if request.account:
            reader.account(request.account)
        start_ms, end_ms = read_span(reader, request)
        reader.finish()
        stats = await get_stats(self._context, request.tenant, request.account, start_ms, end_ms)
        return stats_to_proto(stats)

    async def ListCacheEntries(
        self, request: messages.ListCacheEntriesRequest, context: Call
    ) -> messages.ListCacheEntriesResponse:
        reader = Reader()
        # The tenant of a caller that is bound to one was filled in when the call was let in.
        wanted = read_filter(reader, request)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["cache_entries", *wanted]
        (last,) = read_page_token(request.page_token, scope, [""])
        shown: list[messages.CacheEntry] = []
        room, is_more = _PAGE_BYTES_MAX, True
        while is_more and room > 0 and len(shown) < size:
            count = min(size - len(shown), _ROWS_AT_ONCE)
            rows = await list_entries(self._context, wanted, last, count + 1)
            is_more = len(rows) > count
            for entry in map(entry_to_proto, rows[:count]):
                room -= entry.ByteSize()
                if room < 0 and shown:
                    is_more = True
                    break
                shown.append(entry)
                last = entry.entry_id
        more = make_page_token(scope, [last]) if is_more else ""
        return messages.ListCacheEntriesResponse(entries=shown, next_page_token=more)

    async def GetCacheEntry(
        self, request: messages.GetCacheEntryRequest, context: Call
    ) -> messages.GetCacheEntryResponse:
        reader = Reader()
        entry_id = read_owned_id(reader, "entry_id", request.entry_id)
        reader.finish()
        entry, hits = await get_entry(self._context, entry_id)
        response = messages.GetCacheEntryResponse(entry=entry_to_proto(entry))
        room = _PAGE_BYTES_MAX
        for hit in map(hit_to_proto, hits):
            room -= hit.ByteSize()
            if room < 0:
                break
            response.hits.append(hit)
        return response

    async def SuggestReuse(
        self, request: messages.SuggestReuseRequest, context: Call
    ) -> messages.SuggestReuseResponse:
        reader = Reader()
        wish = read_wish(reader, request)
        today = self._generations.today()
        if reader.violations:
            # All that is wrong is told at once.
            try:
                check(self._generations, wish, today)
            except InvalidRequest as more:
                reader.violations += more.violations
            except PaymasterError:
                pass
        reader.finish()
        checked = check(self._generations, wish, today)
        await self._generations.policies.of(wish.account)
        near = await self._generations.near.suggest(checked, wish.context)
        return messages.SuggestReuseResponse(suggestions=map(suggestion_to_proto, near))

    async def PurgeCache(
        self, request: messages.PurgeCacheRequest, context: Call
    ) -> messages.PurgeCacheResponse:
        reader = Reader()
        chosen = read_purge(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = purge(self._context, chosen, cause, dry_run=request.dry_run)
        return messages.PurgeCacheResponse(entry_count=await self._shield.run(work))

    async def GetCachePolicy(
        self, request: messages.GetCachePolicyRequest, context: Call
    ) -> messages.GetCachePolicyResponse:
        reader = Reader()
        account = reader.account(request.account)
        reader.finish()
        return got_policy(await get_policy(self._context, account))

    async def UpdateCachePolicy(
        self, request: messages.UpdateCachePolicyRequest, context: Call
    ) -> messages.UpdateCachePolicyResponse:
        reader = Reader()
        account = reader.account(request.account)
        changes = read_policy_change(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        try:
            found = await self._shield.run(update_policy(self._context, account, changes, cause))
        except InvalidRequest as error:
            raise InvalidRequest([_renamed(violation) for violation in error.violations]) from error
        return messages.UpdateCachePolicyResponse(
            policy=policy_to_proto(found.policy), source_account=found.source_account
        )

    async def _book(self, request: messages.BookHitRequest) -> messages.BookHitResponse:
        answer = await book_hit(self._context.context, read_booking(request))
        response = messages.BookHitResponse(
            operation_id=answer.operation.operation_id, replayed=answer.replayed
        )
        set_time(response.create_time, answer.operation.decide_ms)
        return response


def _renamed(violation: Violation) -> Violation:
    """Name a policy's field as the request does."""
    for name, inner in POLICY_NAMES.items():
        prefix = f"policy.{inner}"
        if violation.field == prefix or violation.field.startswith((f"{prefix}.", f"{prefix}[")):
            return violation._replace(field=f"policy.{name}{violation.field[len(prefix) :]}")
    return violation


def _late() -> status_pb2.Status:
    return status_of(
        OutOfTime("The operation took too long; the outcome is unknown. Ask again, same key.")
    )


def _result(outcome: object) -> messages.BookHitResult:
    if isinstance(outcome, status_pb2.Status):
        return messages.BookHitResult(error=outcome)
    assert isinstance(outcome, messages.BookHitResponse), outcome
    return messages.BookHitResult(response=outcome)
