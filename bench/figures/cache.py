"""Look-ups in a cache of many tenants, one after the other, beside a scan of all there is."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.entries import (
    Entry,
    add_entries,
    bytes_per_entry,
    draw_entries,
    known,
    request_in,
)
from bench.machine import Machine, Run, sample_of
from bench.processor import spent
from bench.prompts import changed, prompt
from bench.report import Figure, alone, less, more
from bench.samples import Sample
from generations.requests import GenerationRequest
from similarity.embedders.base import Embedder
from similarity.embedders.wordllama import wordllama
from similarity.normalise import normalise
from similarity.policy import DEPTHS, CachePolicy, Stage
from similarity.vectors import Vector
from workers.cache.cascade import Cascade
from workers.cache.embeddings import Embeddings
from workers.cache.rows import Looked, Report, Search
from workers.cache.store import CacheStore
from workers.database import make_pool

_EXACT_MS_MAX = 1.0
_CASCADE_MS_MAX = 25.0
_EXACT_PER_SECOND = 500
_CASCADE_PER_SECOND = 200
_NEAREST = 5
# Vectors are kept with half of their digits.
_TIE = 0.002


class _Cache(NamedTuple):
    """What is looked up in, and the same in this process's memory."""

    cascade: Cascade
    store: CacheStore
    embedder: Embedder
    entries: Sequence[Entry]
    vectors: NDArray[np.float32]
    scopes: NDArray[np.int64]


async def measure(machine: Machine) -> list[Figure]:
    """Measure look-ups by the workers' own code, by one client."""
    scale = machine.scale
    async with _open_cache(machine) as cache:
        choose = random.Random(1)
        runs: dict[str, Run] = {
            "cache: exact": _run(
                machine, int(scale.seconds * _EXACT_PER_SECOND), lambda: _exact(cache, choose)
            ),
            "cache: whole cascade": _run(
                machine, int(scale.seconds * _CASCADE_PER_SECOND), lambda: _nearest(cache, choose)
            ),
            "cache: scan by numpy": _run(
                machine, int(scale.seconds * _CASCADE_PER_SECOND), lambda: _scan(cache, choose)
            ),
        }
        found = await machine.contest(runs)
        share = await _share_found(cache, choose, int(scale.seconds * 50) + 1)
        size = await bytes_per_entry(machine.stores.postgres.url)
    exact, cascade, scan = found.values()
    of_all = f"of {len(cache.entries):,} entries"
    return [
        less(
            f"exact look-up {of_all}, p99",
            *(exact.percentile("p99"), "ms", "what is asked for", _EXACT_MS_MAX, 1.0),
        ),
        less(
            f"whole cascade {of_all}, p99",
            *(cascade.percentile("p99"), "ms", "what is asked for", _CASCADE_MS_MAX, 1.0),
        ),
        less(
            f"whole cascade {of_all}, p50",
            *(cascade.percentile("p50"), "ms", "a scan of all by numpy, p50"),
            scan.percentile("p50"),
        ),
        more("nearest entry found", share, "of 1", "by the scan", 1.0, 0.99),
        alone("an entry of the cache", size, "bytes", "with its indexes and its vector"),
    ]


@asynccontextmanager
async def _open_cache(machine: Machine) -> AsyncIterator[_Cache]:
    """Make the entries, and open what workers look up with, on one connection."""
    url = machine.stores.postgres.url
    embedder = wordllama()
    entries = draw_entries(machine.scale.cache_entries)
    vectors = await add_entries(url, entries, embedder)
    async with make_pool(url, size_max=1) as pool:
        store = await CacheStore.open(pool)
        embeddings = Embeddings(embedder, seconds_max=1.0)
        await embeddings.warm_up()
        scopes = np.array([entry.scope for entry in entries])
        # The entries themselves are no part of a worker, which would not search them for garbage.
        gc.collect()
        gc.freeze()
        yield _Cache(Cascade(store, embeddings), store, embedder, entries, vectors, scopes)


def _run(machine: Machine, count: int, look: Callable[[], Awaitable[float]]) -> Run:
    """Return a run that looks so often; `look` returns how many milliseconds it took."""
    groups = {"client": [os.getpid()], "Postgres": [machine.stores.postgres.pid]}

    async def run() -> Sample:
        for _ in range(max(count // 20, 1)):
            await look()
        before = spent(groups)
        start = perf_counter()
        took = [await look() for _ in range(max(count, 2))]
        seconds = perf_counter() - start
        after = spent(groups)
        percentiles = {"p50": median(took), "p99": quantiles(took, n=100, method="inclusive")[98]}
        result = {
            "counts": {"look-up": len(took)},
            "seconds": seconds,
            "latencies": {"look-up": percentiles},
            "failures": {},
        }
        return sample_of([result], before, after)

    return run


async def _exact(cache: _Cache, choose: random.Random) -> float:
    """Look up what is there; larger scopes are asked more."""
    entry = choose.choice(cache.entries)
    start = perf_counter()
    looked = await _look_up(cache, entry.request, (Stage.EXACT,))
    took = 1000 * (perf_counter() - start)
    assert looked.found is not None, "it was kept"
    assert looked.found.entry_id == entry.entry_id, "it has a prompt of its own"
    return took


async def _nearest(cache: _Cache, choose: random.Random) -> float:
    """Look up what is near to something and not the same, so that no stage ends it early."""
    request = _near(choose.choice(cache.entries))
    start = perf_counter()
    looked = await _look_up(cache, request, DEPTHS)
    took = 1000 * (perf_counter() - start)
    assert looked.found is None, f"{request.prompt!r} was served by {looked.found}"
    assert looked.report.nearest, f"nothing was near: {looked.report}"
    return took


async def _scan(cache: _Cache, choose: random.Random) -> float:
    """Find the nearest of the scope by looking at everything."""
    entry = choose.choice(cache.entries)
    text = normalise(_near(entry).prompt)
    start = perf_counter()
    (vector,) = (await cache.embedder.embed([text])).vectors
    _scanned(cache, entry.scope, vector)
    return 1000 * (perf_counter() - start)


def _scanned(cache: _Cache, scope: int, vector: Vector) -> NDArray[np.float32]:
    """Return the scores of the nearest of a scope, the nearest last."""
    scores = np.where(cache.scopes == scope, cache.vectors @ vector, -1.0)
    nearest = min(_NEAREST, len(scores))
    best: NDArray[np.float32] = np.sort(np.partition(scores, -nearest)[-nearest:])
    return best


async def _share_found(cache: _Cache, choose: random.Random, count: int) -> float:
    """Return of how many requests the store finds what is nearest, as the scan has it."""
    found = 0
    for _ in range(count):
        entry = choose.choice(cache.entries)
        request = _near(entry)
        (vector,) = (await cache.embedder.embed([normalise(request.prompt)])).vectors
        near = await cache.store.find_nearest(
            entry.tenant, known(request, cache.embedder, DEPTHS), vector
        )
        best = float(_scanned(cache, entry.scope, vector)[-1])
        found += bool(near) and near[0].score_ppm / 1e6 >= best - _TIE
    return found / count


async def _look_up(cache: _Cache, request: GenerationRequest, stages: tuple[Stage, ...]) -> Looked:
    """Look up as a worker does, from the request on."""
    search = Search(
        key="bench",
        request=request,
        known=known(request, cache.embedder, stages),
        stages=stages,
        policy=CachePolicy(sample_ppm=0),
    )
    return await cache.cascade.look_up(search, Report())


def _near(entry: Entry) -> GenerationRequest:
    return request_in(entry.scope, changed(prompt(entry.number)))
