"""What a worker has counted can be had over HTTP, by stable names."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from authority.embedded import ports
from generating import state

OPENAI = {"model": "gpt-image-2", "quality": "high"}


async def test_look_ups_and_hits_are_counted(generations, make_worker, stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    port = ports.choose()
    worker = make_worker(WORKERS_METRICS_PORT=str(port))
    await worker.start()
    first = await generations.make(prompt="a lighthouse", **OPENAI)
    served = await generations.make(prompt="A lighthouse!", **OPENAI)
    assert (state(served), served.cached, served.saved) == ("SUCCEEDED", "normalised", first.cost)

    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    counted = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert counted["paymaster_cache_look_ups_total", "image"] == 2
    assert counted["paymaster_cache_hits_total", "image", "normalised"] == 1
    assert counted["paymaster_cache_saved_micros_total", "image"] == first.cost
    assert counted["paymaster_cache_look_up_seconds_count", "image"] == 2


async def test_a_port_that_is_taken_is_said_at_the_start(make_worker, authority_address):
    taken = authority_address.rpartition(":")[2]
    worker = make_worker(WORKERS_METRICS_PORT=taken)
    with pytest.raises(RuntimeError, match="choose another"):
        await worker.start()
