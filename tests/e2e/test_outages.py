"""A store that is away: calls are refused and nothing is half done; no operator is needed after."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authorities import make_settings, new_key
from authority.ledger.migrate import migrate
from authority.v1 import admin_service_pb2
from support import eventually


@pytest.fixture
async def stores(make_postgres, make_valkey):
    """A Postgres and a Valkey of the test's own."""
    postgres, valkey = await make_postgres(), await make_valkey()
    await migrate(postgres.url)
    return postgres, valkey


@pytest.fixture
async def stubs(stores, start_authority, tmp_path):
    """An authority on them, with an account to spend from."""
    postgres, valkey = stores
    _, stubs = await start_authority(make_settings(postgres.url, valkey.url, tmp_path))
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await stubs.reserve("acme", {"USD": 100_000})
    return stubs


async def _health(stubs):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    return (await health.Check(health_pb2.HealthCheckRequest())).status


async def _unavailable(call):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def _status(stubs):
    request = admin_service_pb2.GetStatusRequest()
    return await stubs.admin.GetStatus(request, metadata=stubs.metadata)


@pytest.mark.parametrize("away", [0, 1], ids=["postgres", "valkey"])
async def test_a_store_that_is_away(stores, stubs, away):
    held = (await stubs.reserve("acme", {"USD": 50_000})).reservation.reservation_id
    reserve_key, commit_key = new_key(), new_key()
    await stores[away].stop()
    assert await _unavailable(stubs.reserve("acme", {"USD": 10_000}, key=reserve_key))
    assert await _unavailable(stubs.commit(held, {"USD": 40_000}, key=commit_key))
    status = await _status(stubs)
    assert (status.ledger_ok, status.hot_store_ok) == (away == 1, away == 0)
    not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
    await eventually(lambda: _is(stubs, not_serving))
    await stores[away].start()
    await eventually(lambda: _is(stubs, health_pb2.HealthCheckResponse.SERVING), 30)
    # The same keys: each has one effect, whether its first call had one or none.
    await stubs.reserve("acme", {"USD": 10_000}, key=reserve_key)
    await stubs.commit(held, {"USD": 40_000}, key=commit_key)
    assert await stubs.balance("acme") == {("acme", "usd-day"): (110_000, 40_000, 0, 850_000)}
    assert await stubs.differences() == []


async def _is(stubs, wanted):
    return await _health(stubs) == wanted


async def test_an_authority_waits_for_no_valkey_to_start(stores, start_authority, tmp_path):
    postgres, valkey = stores
    await valkey.stop()
    _, stubs = await start_authority(make_settings(postgres.url, valkey.url, tmp_path))
    assert not (await _status(stubs)).hot_store_ok
    await valkey.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await stubs.reserve("acme", {"USD": 1})
