"""What users say of what the cache has served them.

A verdict is written with all that follows from it in the cache, in one transaction. What follows in
the books comes after it: the hit itself, if no worker has booked it yet, and then its reversal.
Each of these has a key of its own, and the row says when it is done; so whoever dies in between
leaves a row that says what is still to do, and recovery/reversals.py, or the next report, does it.
"""

from __future__ import annotations

from typing import NamedTuple

from authority.domain.cache import CacheHit, Judgement, Standing, Verdict
from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.errors import GenerationStateError, NotFound
from authority.domain.ids import tenant_of
from authority.usecases.cache import CacheContext
from authority.usecases.cache_books import CacheBooking, book_hit, book_reversal
from authority.usecases.generations import GenerationContext, get_generations
from similarity.gate import GATED_STAGES, bin_of
from similarity.scope import exact_hash


class HitReport(NamedTuple):
    """What a report has done; `standing` is None where the entry is gone, or there was none."""

    hit: CacheHit
    replayed: bool
    reversed: int
    standing: Standing | None


async def report_hit(
    context: CacheContext,
    generations: GenerationContext,
    generation_id: str,
    verdict: Verdict,
    cause: Cause,
) -> HitReport:
    """Set the verdict of a hit or a sample, and carry out what follows from it.

    Raises:
        NotFound: there is no such generation.
        GenerationStateError: it is neither, or has the other verdict.
        Unavailable: a store is away. The verdict may stand; repeating it is safe.

    """
    hit = await context.cache.hit(generation_id)
    if hit is None:
        (found,) = await get_generations(generations, [generation_id])
        why = f"is {found.state} and was not served by the cache"
        raise GenerationStateError(generation_id, found.state, why)
    replayed = hit.verdict is not None
    if not replayed:
        judgement = Judgement(
            generation_id,
            hit.sampled,
            verdict,
            exact_hash(hit.prompt),
            bin_of(hit.score_ppm) if hit.stage in GATED_STAGES else None,
        )
        change = Change(
            tenant=tenant_of(generation_id),
            account=hit.account,
            method="ReportHit",
            resource_type="cache_hit",
            resource=generation_id,
            cause=cause,
            before=None,
            after={"verdict": verdict.value, "entry_id": hit.entry_id, "stage": hit.stage},
            change_time=context.now(),
        )
        replayed = not await context.cache.judge(judgement, change)
        hit = await _there(context, generation_id)
    if hit.verdict is not verdict:
        why = f"has the verdict {hit.verdict} already, and the first one stands"
        raise GenerationStateError(generation_id, str(hit.verdict), why)
    if hit.is_to_reverse:
        await reverse(context, hit)
        hit = await _there(context, generation_id)
    standing = await context.cache.standing(hit.entry_id) if hit.entry_id else None
    return HitReport(hit, replayed, hit.saved if hit.reverse_time else 0, standing)


async def reverse(context: CacheContext, hit: CacheHit) -> None:
    """Book back what a hit has saved, after the hit itself. Repeating it is safe.

    Raises Unavailable.
    """
    booking = CacheBooking(
        # As the workers do it, so that whoever comes second is told what the first one did.
        idempotency_key=f"hit:{hit.generation_id}",
        account=hit.account,
        generation_id=hit.generation_id,
        entry_id=hit.entry_id,
        stage=hit.stage,
        score_ppm=hit.score_ppm,
        saved=hit.saved,
    )
    if hit.book_time is None:
        await book_hit(context.context, booking)
        await context.cache.mark_booked(hit.generation_id)
    await book_reversal(context.context, booking)
    await context.cache.mark_reversed(hit.generation_id)


async def _there(context: CacheContext, generation_id: str) -> CacheHit:
    hit = await context.cache.hit(generation_id)
    if hit is None:  # Its generation was erased at this moment.
        raise NotFound("generation", generation_id)
    return hit
