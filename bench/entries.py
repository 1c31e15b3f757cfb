"""Entries of the similarity cache, written by COPY, as if each had been made and paid.

Scopes are of Zipf's sizes, as users are: the largest has a tenth of all, most have one or two.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray
from psycopg import AsyncConnection

from bench.prompts import prompt
from generations.models import Kind
from generations.requests import GenerationRequest
from similarity.embedders.base import Embedder
from similarity.normalise import normalise
from similarity.policy import Stage
from similarity.scope import Fingerprint, fingerprint
from similarity.stages import possible_stages

TENANTS = 200
MODEL = "sandbox-image"
QUALITY = "standard"
COST_MICROS = 40_000
_SIZES = ("512x512", "1024x1024", "1024x1536")
_COUNTS = range(1, 11)
# Of each tenant: what it may ask for besides the prompt.
_COMBINATIONS = tuple(itertools.product(_SIZES, _COUNTS))
# As many as are made in one go.
_CHUNK = 5_000

_GENERATIONS = """COPY generation (
    generation_id, tenant, account, idempotency_key, kind, prompt, requested_model, size, quality,
    count, state, provider, model, cost_micros, end_time
) FROM STDIN"""
_ARTIFACTS = """COPY artifact (
    artifact_id, generation_id, position, object_key, media_type, size_bytes, sha256
) FROM STDIN"""
_ENTRIES = """COPY cache_entry (
    entry_id, tenant, scope_hash, exact_hash, normalised_hash, signature_hash, embedding, embedder,
    generation_id, kind, model, quality_class, cost_micros, expire_time
) FROM STDIN"""
_NULL = "\\N"


class Entry(NamedTuple):
    """An entry: whose it is by its number, and the scope that it is in, the largest first."""

    number: int
    scope: int

    @property
    def request(self) -> GenerationRequest:
        """Return what was asked for."""
        return request_in(self.scope, prompt(self.number))

    @property
    def tenant(self) -> str:
        """Return whose it is."""
        return tenant_of(self.scope)

    @property
    def entry_id(self) -> str:
        """Return its id, which is that of its generation too."""
        return f"{self.tenant}/{UUID(int=self.number)}"


def scope_sizes(total: int) -> list[int]:
    """Return how many entries each scope has: the largest a tenth of all, others by 1 / rank."""
    largest = total // 10
    ranks = range(2, TENANTS * len(_COMBINATIONS) + 1)
    share = (total - largest) / sum(1 / rank for rank in ranks)
    # Rounded sums differ by what makes them end where they should.
    ends = [round(end) for end in itertools.accumulate(share / rank for rank in ranks)]
    return [largest, *(end - start for start, end in itertools.pairwise([0, *ends]))]


def draw_entries(total: int) -> list[Entry]:
    """Return entries, each with a number of its own."""
    numbers = itertools.count()
    return [
        Entry(next(numbers), scope)
        for scope, size in enumerate(scope_sizes(total))
        for _ in range(size)
    ]


def tenant_of(scope: int) -> str:
    """Return the tenant that a scope is of; the largest scopes are of different ones."""
    return f"cached{scope % TENANTS:03}"


def request_in(scope: int, text: str) -> GenerationRequest:
    """Return a request that is looked up in a scope."""
    size, count = _COMBINATIONS[scope // TENANTS]
    return GenerationRequest(
        account=tenant_of(scope),
        kind=Kind.IMAGE,
        prompt=text,
        model=MODEL,
        size=size,
        quality=QUALITY,
        count=count,
    )


def known(request: GenerationRequest, embedder: Embedder, stages: tuple[Stage, ...]) -> Fingerprint:
    """Return what the cache knows a request by to some stages."""
    return fingerprint(request, model=MODEL, quality=QUALITY, stages=stages, embedder=embedder.name)


async def add_entries(
    database_url: str, entries: Sequence[Entry], embedder: Embedder
) -> NDArray[np.float32]:
    """Write entries with all that stands behind them; return their vectors, a row for each."""
    rows: list[NDArray[np.float32]] = []
    async with await AsyncConnection.connect(database_url) as connection, connection.cursor() as to:
        tenants = sorted({entry.tenant for entry in entries})
        await to.execute("INSERT INTO tenant (tenant) SELECT unnest(%s::text[])", [tenants])
        await to.execute(
            "INSERT INTO account SELECT name, name, 'platform', '', 'UTC', 'ACTIVE', 'CAP', now()"
            " FROM unnest(%s::text[]) AS name",
            [tenants],
        )
        for start in range(0, len(entries), _CHUNK):
            chunk = entries[start : start + _CHUNK]
            prompts = [normalise(entry.request.prompt) for entry in chunk]
            vectors = (await embedder.embed(prompts)).vectors
            rows += vectors
            texts = await asyncio.to_thread(_texts, chunk, vectors, embedder)
            for statement, text in texts.items():
                async with to.copy(statement.encode()) as copy:
                    await copy.write(text)
        await connection.commit()
        await connection.set_autocommit(True)
        await to.execute("VACUUM ANALYZE generation, artifact, cache_entry")
        await to.execute("CHECKPOINT")  # else it comes while something is measured
    return np.stack(rows)


async def bytes_per_entry(database_url: str) -> float:
    """Return what an entry takes, with its indexes; its generation has the prompt and the files."""
    async with await AsyncConnection.connect(database_url) as connection:
        found = await connection.execute(
            "SELECT pg_total_relation_size('cache_entry') / count(*)::float8 FROM cache_entry"
        )
        row = await found.fetchone()
    assert row is not None, "an aggregate has a row"
    return float(row[0])


def _texts(
    entries: Sequence[Entry], vectors: Sequence[NDArray[np.float32]], embedder: Embedder
) -> dict[str, str]:
    """Return what each COPY is to read."""
    embedded = zip(entries, vectors, strict=True)
    return {
        _GENERATIONS: _lines(map(_generation, entries)),
        _ARTIFACTS: _lines(map(_artifact, entries)),
        _ENTRIES: _lines(_entry(entry, vector, embedder) for entry, vector in embedded),
    }


def _lines(rows: Iterable[tuple[object, ...]]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def _generation(entry: Entry) -> tuple[object, ...]:
    request = entry.request
    return (
        *(entry.entry_id, entry.tenant, request.account, f"cached-{entry.number}", request.kind),
        *(request.prompt, request.model, request.size, request.quality, request.count),
        *("SUCCEEDED", "sandbox", MODEL, COST_MICROS, "now"),
    )


def _artifact(entry: Entry) -> tuple[object, ...]:
    path = f"{entry.entry_id}/0.png"
    return (path, entry.entry_id, 0, path, "image/png", 1_000, "0" * 64)


def _entry(entry: Entry, vector: NDArray[np.float32], embedder: Embedder) -> tuple[object, ...]:
    found = known(entry.request, embedder, possible_stages(entry.request))
    hashes = (found.scope, found.exact, found.normalised, found.signature)
    return (
        *(entry.entry_id, entry.tenant, *map(_bytes, hashes)),
        *(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode(), embedder.name),
        *(entry.entry_id, Kind.IMAGE, MODEL, QUALITY, COST_MICROS, "tomorrow"),
    )


def _bytes(value: bytes | None) -> str:
    return _NULL if value is None else f"\\\\x{value.hex()}"
