"""LiteLLM's reservation of a request's budget: its counters in Redis, and no proxy around it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench.meter import Meter
from bench.runner import Step
from bench.work import Work

_BUDGET = 1e12
_REQUEST = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "a red fox"}],
    "max_tokens": 100,
}


@asynccontextmanager
async def litellm_cycles(work: Work) -> AsyncIterator[Step]:
    """Reserve for a key, its team and its user, and reconcile with the actual cost."""
    from litellm.caching.redis_cache import RedisCache
    from litellm.proxy import proxy_server
    from litellm.proxy._types import LiteLLM_TeamTable, LiteLLM_UserTable, UserAPIKeyAuth
    from litellm.proxy.spend_tracking.budget_reservation import (
        reconcile_budget_reservation,
        reserve_budget_for_request,
    )

    url = urlsplit(work.redis_url)
    cache = RedisCache(
        host=url.hostname, port=url.port, password=url.password, db=int(url.path.strip("/"))
    )
    proxy_server.spend_counter_cache.redis_cache = cache
    key = UserAPIKeyAuth(token="hot", max_budget=_BUDGET, spend=0.0)  # noqa: S106 - a name
    team = LiteLLM_TeamTable(team_id="hot", max_budget=_BUDGET, spend=0.0)
    user = LiteLLM_UserTable(user_id="hot", max_budget=_BUDGET, spend=0.0)

    async def step(_caller: int, meter: Meter) -> None:
        started = time.perf_counter()
        held = await reserve_budget_for_request(
            request_body=_REQUEST,
            route="/chat/completions",
            llm_router=None,
            valid_token=key,
            team_object=team,
            user_object=user,
            prisma_client=None,
            user_api_key_cache=proxy_server.user_api_key_cache,
            proxy_logging_obj=proxy_server.proxy_logging_obj,
            apply_user_budget_to_team_keys=True,
        )
        if held is None or len(held["entries"]) != 3:
            raise RuntimeError(f"not all of three budgets were reserved: {held}")
        meter.done("reserve", started)
        started = time.perf_counter()
        await reconcile_budget_reservation(held, held["reserved_cost"] / 2)
        meter.done("commit", started)

    yield step
