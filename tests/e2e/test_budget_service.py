"""Reserve, Commit, Release and Refund over a socket, on real stores."""

from __future__ import annotations

import grpc
import pytest


async def test_reserve_then_commit_moves_the_amount(stubs):
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.set_budget("acme", 1_000_000)
    await stubs.set_budget("acme/alice", 500_000, window="MONTH")
    held = await stubs.reserve("acme/alice", {"USD": 80_000, "IMAGES": 1}, labels={"job": "1"})
    assert held.reservation.reservation_id.startswith("acme/")
    assert dict(held.reservation.labels) == {"job": "1"}
    assert await stubs.balance("acme/alice") == {
        ("acme/alice", "usd-month"): (80_000, 0, 0, 420_000),
        ("acme", "usd-day"): (80_000, 0, 0, 920_000),
    }
    settled = await stubs.commit(held.reservation.reservation_id, {"USD": 52_680, "IMAGES": 1})
    assert [(leg.charged, leg.absorbed) for leg in settled.reservation.legs] == [
        (52_680, 0),
        (1, 0),
    ]
    assert await stubs.balance("acme/alice") == {
        ("acme/alice", "usd-month"): (0, 52_680, 0, 447_320),
        ("acme", "usd-day"): (0, 52_680, 0, 947_320),
    }
    assert await stubs.differences() == []


async def test_a_denied_reserve_is_resource_exhausted(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 100_000)
    with pytest.raises(grpc.aio.AioRpcError) as denied:
        await stubs.reserve("acme", {"USD": 100_001})
    assert denied.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
