"""How the client of the hot store fails."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from authority.domain.errors import Unavailable
from authority.hotstate.clock import HotClock
from authority.hotstate.scripts import Script, script_set
from authority.hotstate.store import HotStore


@pytest.mark.parametrize(
    "problem",
    [
        LostConnectionError("lost"),
        ConnectionResetError("reset"),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>"),  # of uvloop
    ],
)
async def test_a_store_that_is_away_is_unavailable(problem):
    async def fail(*_arguments):
        raise problem

    store = HotStore(SimpleNamespace(evalsha=fail, time=fail), HotClock())
    store._scripts = script_set(1)
    with pytest.raises(Unavailable):
        await store.call(Script.READ, ["meta"], [0])
    with pytest.raises(Unavailable):
        await store.time_ms()
