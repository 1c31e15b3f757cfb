"""Several images by calls that make one each."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from generations.pricing import Usage
from providing import wanted
from workers.providers.base import ProducedFile, ProviderResult
from workers.providers.errors import RateLimited, TimeoutUnknown
from workers.providers.one_by_one import SEED_MAX, make_one_by_one

FILE = ProducedFile(b"", "image/png", 1, 1)


class Calls:
    """Makes an image a call, until it raises what it was given."""

    def __init__(self, good: int, error: Exception | None = None) -> None:
        self.good = good
        self.error = error
        self.seeds: list[int | None] = []

    async def __call__(self, request):
        self.seeds.append(request.settings.seed)
        assert request.count == 1
        if self.error is not None and len(self.seeds) > self.good:
            raise self.error
        usage = Usage(images=1, seconds=Decimal("0.5"))
        return ProviderResult((FILE,), usage, None, f"req-{len(self.seeds)}")


def request(count: int, **settings):
    """Return a request for so many images."""
    return replace(wanted("stable-image-core", **settings), count=count)


async def test_each_has_a_seed_of_its_own_and_all_are_one_result():
    calls = Calls(3)
    result = await make_one_by_one(request(3, seed=SEED_MAX), calls)
    assert calls.seeds == [SEED_MAX, 0, 1]
    assert len(result.files) == 3
    assert (result.usage.images, result.usage.seconds) == (3, Decimal("1.5"))
    assert (result.request_id, result.usage_estimated) == ("req-1", False)


async def test_without_a_seed_it_is_left_to_chance():
    calls = Calls(2)
    await make_one_by_one(request(2), calls)
    assert calls.seeds == [None, None]


async def test_the_progress_is_told():
    seen = []
    wish = replace(request(4), on_progress=lambda *told: seen.append(told))
    await make_one_by_one(wish, Calls(4))
    assert seen == [("running", 0), ("running", 25), ("running", 50), ("running", 75)]


@pytest.mark.parametrize(
    ("error", "images", "seconds", "estimated"),
    [
        (RateLimited("x", "too many"), 2, "1.0", False),
        (TimeoutUnknown("x", "no answer"), 3, "1.0", True),
        (TimeoutUnknown("x", "late", usage=Usage(images=1, seconds=Decimal(9))), 3, "10.0", True),
    ],
)
async def test_what_was_made_is_the_result_with_what_the_failed_call_may_have_cost(
    error, images, seconds, estimated
):
    calls = Calls(2, error)
    result = await make_one_by_one(request(4), calls)
    assert len(calls.seeds) == 3
    assert len(result.files) == 2
    assert (result.usage.images, result.usage.seconds) == (images, Decimal(seconds))
    assert result.usage_estimated is estimated


async def test_if_nothing_was_made_it_is_the_error():
    with pytest.raises(RateLimited):
        await make_one_by_one(request(2), Calls(0, RateLimited("x", "too many")))
