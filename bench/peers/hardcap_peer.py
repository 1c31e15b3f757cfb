"""hardcap's ledger class: budgets in Redis scripts, called from Python."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.meter import Meter
from bench.runner import Step
from bench.work import Work

_WINDOW_SECONDS = 86_400


@asynccontextmanager
async def hardcap_cycles(work: Work) -> AsyncIterator[Step]:
    """Admit and settle, all for one tenant."""
    from hardcap.config import BudgetPolicy, Tenant, TenantBudget
    from hardcap.ledger import BudgetLedger
    from redis.asyncio import Redis

    async with Redis.from_url(work.redis_url, max_connections=work.callers) as redis:
        ledger = BudgetLedger(redis, BudgetPolicy())
        tenant = Tenant("hot", [], TenantBudget(window_s=_WINDOW_SECONDS, total=2**51))

        async def step(_caller: int, meter: Meter) -> None:
            started = time.perf_counter()
            admission = await ledger.admit(tenant, 10, 30)
            if not admission.ok:
                raise RuntimeError(admission.reason)
            meter.done("reserve", started)
            started = time.perf_counter()
            await ledger.settle(tenant, admission, 10, 20)
            meter.done("commit", started)

        yield step
