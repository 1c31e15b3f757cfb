"""What the stages of one look-up share: each thing is fetched once, and only if a stage asks."""

from __future__ import annotations

import asyncio

from similarity.guard import Reading, read
from similarity.policy import Stage
from similarity.structured import Context
from workers.cache.embeddings import Embeddings, Skipped
from workers.cache.rows import Candidate, Neighbour, Report, Search
from workers.cache.store import CacheStore


class Finding:
    """One look-up under way."""

    def __init__(
        self, search: Search, report: Report, store: CacheStore, embeddings: Embeddings
    ) -> None:
        self.search = search
        self.report = report
        self._store = store
        self._embeddings = embeddings
        self._hashes: tuple[dict[Stage, Candidate], list[tuple[Candidate, Context]]] | None = None
        self._neighbours: list[tuple[Neighbour, Reading]] | Skipped | None = None
        self.reading: Reading | None = None

    async def same_hash(self, stage: Stage) -> Candidate | None:
        """Return the entry that has the same hash of a stage."""
        return (await self._by_hashes())[0].get(stage)

    async def comparable(self) -> list[tuple[Candidate, Context]]:
        """Return the entries whose contexts have the same required fields."""
        return (await self._by_hashes())[1]

    async def neighbours(self) -> tuple[Reading, list[tuple[Neighbour, Reading]]]:
        """Return the request and the nearest entries as the guard reads them. Raises Skipped."""
        if self._neighbours is None:
            try:
                self._neighbours = await self._read_neighbours()
            except Skipped as skipped:
                self._neighbours = skipped
        if isinstance(self._neighbours, Skipped):
            raise self._neighbours
        assert self.reading is not None, "it is read with them"
        return self.reading, self._neighbours

    async def _read_neighbours(self) -> list[tuple[Neighbour, Reading]]:
        if not self._store.has_vectors:
            raise Skipped("no_vectors")
        search = self.search
        prompt = search.request.prompt
        self.reading = await asyncio.to_thread(read, prompt)
        if not self.reading.is_english:
            raise Skipped("not_english")
        vector = await self._embeddings.vector(search.request.account, search.key, prompt)
        near = await self._store.find_nearest(search.tenant, search.known, vector)
        if near:
            self.report.nearest = {
                "entry_id": near[0].entry_id,
                "score_ppm": near[0].score_ppm,
            }
        readings = await asyncio.to_thread(lambda: [read(found.prompt) for found in near])
        return list(zip(near, readings, strict=True))

    async def _by_hashes(
        self,
    ) -> tuple[dict[Stage, Candidate], list[tuple[Candidate, Context]]]:
        if self._hashes is None:
            self._hashes = await self._store.find_by_hashes(self.search.tenant, self.search.known)
        return self._hashes
