"""Fixtures: generations that have ended, with their Reserves in the real ledger."""

from __future__ import annotations

import grpc
import pytest
from psycopg.types.json import Jsonb

from authorities import TOKEN, new_key
from clients import InsightClient

COUNTED_IN = {"image": "IMAGES", "chat": "MESSAGES", "video": "VIDEOS"}


class PastGenerations:
    """Plants what workers would have left behind, with what it cost in the books."""

    def __init__(self, stubs, stores) -> None:
        self.stubs = stubs
        self.stores = stores

    async def made(
        self,
        account="acme",
        prompt="a lighthouse",
        *,
        options=(("openai", "gpt-image-2", "high", 220_000),),
        actual=None,
        error="",
        reason="",
        presumed=False,
        usage=None,
        refund=0,
        count=1,
        **fields,
    ):
        """Add a generation with one attempt, held and paid as workers do it; return its id.

        `options` are (provider, model, quality, estimate). With an `error` it was paid and failed;
        where nothing fits it is DENIED.
        """
        generation_id = f"{account.partition('/')[0]}/{new_key()}"
        kind = fields.get("kind", "image")
        unit = COUNTED_IN[kind]
        held, index, state = None, None, "DENIED"
        try:
            answer = await self.stubs.reserve(
                account,
                *({"USD": option[3], unit: count} for option in options),
                key=f"gen:{generation_id}:1:reserve",
                labels={"generation": generation_id, "attempt": "1"},
            )
        except grpc.aio.AioRpcError as denied:
            assert denied.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, denied
        else:
            held, index = answer.reservation.reservation_id, answer.reservation.option_index
            actual = options[index][3] if actual is None else actual
            await self.stubs.commit(held, {"USD": actual, unit: count})
            if refund:
                await self.stubs.refund(held, {"USD": refund})
            state = "COMMITTED"
        ended = "DENIED" if held is None else "FAILED" if error else "SUCCEEDED"
        await self._insert(generation_id, account, kind, prompt, count, ended, index, fields)
        provider, model = options[index][:2] if index is not None else ("", "")
        names = ("provider", "model", "quality", "estimate_micros")
        await self.stores.rows(
            "INSERT INTO generation_attempt (generation_id, attempt, state, options, option_index,"
            " provider, model, reservation_id, actual_micros, actual_images, charged_micros,"
            " presumed_spent, error_reason, usage, settle_time)"
            " VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            *(generation_id, state),
            Jsonb([dict(zip(names, option, strict=True)) for option in options]),
            *(index, provider, model, held, actual, count, actual, presumed, error or reason),
            usage and Jsonb(usage),
        )
        return generation_id

    async def cached(self, account="acme", saved=40_000, **fields):
        """Add a generation that the cache has served; return its id."""
        generation_id = f"{account.partition('/')[0]}/{new_key()}"
        await self._insert(
            generation_id, account, "image", "a lighthouse", 1, "SUCCEEDED", None, fields
        )
        await self.stores.rows(
            "UPDATE generation SET cached = 'exact', saved_micros = %s WHERE generation_id = %s",
            *(saved, generation_id),
        )
        return generation_id

    async def _insert(self, generation_id, account, kind, prompt, count, state, index, fields):
        await self.stores.rows(
            "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt,"
            " requested_model, size, quality, count, settings, state, downgraded, create_time,"
            " reuse, end_time) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " now() - %s * interval '1 day', %s, now())",
            *(generation_id, account.partition("/")[0], account, generation_id, kind, prompt),
            *(fields.get("model", ""), fields.get("size", "1024x1024")),
            *(fields.get("quality", "premium"), count, Jsonb(fields.get("settings", {})), state),
            *(bool(index), fields.get("days_ago", 0), fields.get("reuse", "")),
        )


@pytest.fixture
async def past(stubs, stores) -> PastGenerations:
    """A planter of past generations, with accounts of two tenants that may spend."""
    for account in ("acme", "acme/alice", "globex"):
        await stubs.account(account)
    for tenant in ("acme", "globex"):
        await stubs.set_budget(tenant, 10**12, window="TOTAL", name="all")
    return PastGenerations(stubs, stores)


@pytest.fixture
async def insights(authority):
    """A client of the running authority's InsightService."""
    async with InsightClient(f"127.0.0.1:{authority[0].port}", token=TOKEN, timeout=10) as client:
        yield client
