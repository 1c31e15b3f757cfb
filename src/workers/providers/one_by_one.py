"""For providers that make one image in a call: several calls, one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import structlog

from generations.pricing import Usage
from workers.providers.base import ProviderRequest, ProviderResult
from workers.providers.errors import ProviderError

SEED_MAX = 2**32 - 2

_log = structlog.get_logger(__name__)


async def make_one_by_one(
    request: ProviderRequest, make: Callable[[ProviderRequest], Awaitable[ProviderResult]]
) -> ProviderResult:
    """Return what `make` makes for each image asked for, as one result.

    A seed is counted up, or all would be the same image. The first call that fails ends it: what
    was made before is the result, and what the failed call may have cost is billed with it, as an
    estimate. Raises ProviderError if nothing was made, which says that no more than one was asked
    for.
    """
    made: list[ProviderResult] = []
    estimated = False
    usages: list[Usage] = []
    for index in range(request.count):
        request.on_progress("running", 100 * index // request.count)
        try:
            result = await make(_one_of(request, index))
        except ProviderError as error:
            if not made:
                if error.dispatched != "no":
                    error.usage = error.usage or Usage(images=1)
                raise
            _log.warning(
                "images_missing",
                provider=error.provider,
                reason=error.reason,
                dispatched=error.dispatched,
                made=len(made),
                wanted=request.count,
            )
            if error.dispatched != "no":
                usages.append(error.usage or Usage(images=1))
                estimated = True
            break
        made.append(result)
        usages.append(result.usage)
    files = tuple(file for result in made for file in result.files)
    return ProviderResult(files, _sum(usages), None, made[0].request_id, estimated)


def _one_of(request: ProviderRequest, index: int) -> ProviderRequest:
    seed = request.settings.seed
    if seed is not None and index:
        seed = (seed + index) % (SEED_MAX + 1)
    return replace(request, count=1, settings=replace(request.settings, seed=seed))


def _sum(usages: Sequence[Usage]) -> Usage:
    seconds = [usage.seconds for usage in usages if usage.seconds is not None]
    return Usage(
        images=sum(usage.images or 0 for usage in usages),
        seconds=sum(seconds, Decimal(0)) if seconds else None,
    )
