"""The emulator itself: what it takes, what it is told, what it notes, how it ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from support import eventually
from workers.emulator import Emulator, PortInUse, running_emulator


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the emulator."""
    async with httpx.AsyncClient(base_url=emulator.url, trust_env=False) as made:
        yield made


async def make(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    """Ask OpenAI's side for images."""
    headers = {"authorization": f"Bearer {Emulator.openai_key}"}
    body = {"model": "gpt-image-2", "quality": "low", **body}
    return await client.post("/openai/v1/images/generations", json=body, headers=headers)


async def submit(client: httpx.AsyncClient, model: str, **body: object) -> httpx.Response:
    """Put a job into fal's queue."""
    headers = {"authorization": f"Key {Emulator.fal_key}"}
    return await client.post(f"/fal/{model}", json=body, headers=headers)


async def test_the_answer_has_the_shape_of_openais(client):
    answer = (await make(client, prompt="shape", n=2)).json()
    assert set(answer) == {
        "background",
        "created",
        "data",
        "output_format",
        "quality",
        "size",
        "usage",
    }
    assert [list(image) for image in answer["data"]] == [["b64_json"]] * 2
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert sum(usage["input_tokens_details"].values()) == usage["input_tokens"]


async def test_pictures_are_the_same_for_the_same_request_alone(client):
    hashes = []
    for prompt in ("one", "one", "two"):
        answer = (await make(client, prompt=prompt)).json()
        content = base64.b64decode(answer["data"][0]["b64_json"])
        hashes.append(hashlib.sha256(content).hexdigest())
    assert hashes[0] == hashes[1] != hashes[2]


async def test_the_answers_have_the_shape_of_fals(client, emulator):
    accepted = (await submit(client, "fal-ai/flux/dev", prompt="shape")).json()
    path = f"{emulator.fal_queue_url}/fal-ai/flux/requests/{accepted['request_id']}"
    assert accepted == {
        "request_id": accepted["request_id"],
        "response_url": path,
        "status_url": f"{path}/status",
        "cancel_url": f"{path}/cancel",
    }
    headers = {"authorization": f"Key {emulator.fal_key}"}
    early = await client.get(accepted["response_url"], headers=headers)
    assert early.status_code == 400
    waiting = await client.get(accepted["status_url"], headers=headers)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "IN_QUEUE")
    done = await client.get(accepted["status_url"], headers=headers)
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    result = await client.get(accepted["response_url"], headers=headers)
    assert result.headers["x-fal-billable-units"] == "0.786432"
    [image] = result.json()["images"]
    assert (image["width"], image["height"]) == (1024, 768)
    assert (await client.get(image["url"])).headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "missing_required_parameter"),
        ({"prompt": ""}, 400, "invalid_value"),
        ({"prompt": "x", "n": 0}, 400, "invalid_value"),
        ({"prompt": "x", "n": True}, 400, "invalid_value"),
        ({"prompt": "x", "size": "1024x1000"}, 400, "invalid_value"),
        ({"prompt": "x", "size": "0016x16"}, 400, "invalid_value"),
        ({"prompt": "x", "size": "4096x2048"}, 400, "invalid_value"),
        ({"prompt": "x", "size": "1536x256"}, 400, "invalid_value"),
        ({"prompt": "x", "quality": "hd"}, 400, "invalid_value"),
        ({"prompt": "x", "quality": ["low"]}, 400, "invalid_value"),
        ({"prompt": "x", "response_format": "url"}, 400, "unknown_parameter"),
        ({"prompt": "x", "output_format": "svg"}, 400, "invalid_value"),
        ({"prompt": "x", "model": "dall-e-3"}, 404, "model_not_found"),
        ({"prompt": "x", "model": "sandbox-image"}, 404, "model_not_found"),
    ],
)
async def test_requests_are_checked_as_openai_does(client, body, status, code):
    response = await make(client, **body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "\ud83e"])
async def test_a_body_that_is_no_object_is_refused(client, content):
    raw = content.encode(errors="surrogatepass")
    headers = {"authorization": f"Bearer {Emulator.openai_key}"}
    response = await client.post("/openai/v1/images/generations", content=raw, headers=headers)
    assert response.status_code == 400
    headers = {"authorization": f"Key {Emulator.fal_key}"}
    response = await client.post("/fal/fal-ai/flux/dev", content=raw, headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "provider"),
        ({"provider": "openai", "scenario": "drop", "sleep": 1}, "sleep"),
        ({"provider": "openai", "scenario": "explode"}, "scenario"),
        ({"provider": "openai", "scenario": "drop", "times": 0}, "times"),
        ({"provider": "openai", "scenario": "server_error", "status": 200}, "status"),
        ({"provider": "openai", "scenario": "job_stuck"}, ""),
        ({"provider": "openai", "scenario": "drop", "step": "result"}, ""),
        ({"provider": "fal", "scenario": "job_stuck", "step": "status"}, ""),
    ],
)
async def test_an_order_that_makes_no_sense_names_its_field(client, order, field):
    response = await client.post("/__ctl", json=order)
    assert response.status_code == 400
    assert field in [problem["field"] for problem in response.json()["problems"]]


async def test_orders_go_by_prompt_are_spent_and_can_be_forgotten(client, emulator):
    await emulator.order("openai", "unavailable", match="spent")
    await emulator.order("openai", "unavailable", match="lasting", times=None)
    assert (await make(client, prompt="another")).status_code == 200
    assert (await make(client, prompt="it is spent")).status_code == 503
    assert (await make(client, prompt="it is spent")).status_code == 200
    assert (await make(client, prompt="lasting")).status_code == 503
    assert (await make(client, prompt="lasting")).status_code == 503
    await emulator.clear()
    assert (await make(client, prompt="lasting")).status_code == 200


async def test_latency_makes_a_call_longer_and_others_overtake_it(client, emulator):
    await emulator.order("openai", "latency", match="slow", seconds=0.4)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(make(client, prompt="slow one"))
        quick = group.create_task(make(client, prompt="quick one"))
        await quick
        assert not slow.done()
    assert slow.result().status_code == 200


async def test_the_journal_has_every_call_in_order(client, emulator):
    before = len(await emulator.calls())
    await make(client, prompt="journal one")
    await submit(client, "fal-ai/flux/dev", prompt="journal two", image_size="square_hd")
    await client.post("/openai/v1/images/generations", json={})
    first, second, third = (await emulator.calls())[before:]
    assert [call.number for call in (first, second, third)] == [before + 1, before + 2, before + 3]
    assert first.seconds <= second.seconds <= third.seconds
    assert (first.provider, first.prompt, first.outcome) == ("openai", "journal one", "made")
    assert (first.billed_micros, first.billed_units) == (6_000 + 10 * 5, "")
    assert (second.provider, second.model, second.status) == ("fal", "fal-ai/flux/dev", 200)
    assert (second.billed_micros, second.billed_units) == (26_215, "1.048576")
    assert (third.outcome, third.status, third.billed_micros) == ("unauthorized", 401, 0)


async def test_a_port_in_use_is_told(emulator):
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(PortInUse, match=str(port)):
        async with running_emulator(port):
            pass


async def test_it_ends_while_callers_wait():
    async with httpx.AsyncClient(trust_env=False) as client:
        async with running_emulator() as mine:
            await mine.order("openai", "hang")
            client.base_url = httpx.URL(mine.url)
            waiting = asyncio.create_task(make(client, prompt="left alone"))
            await eventually(lambda: mine.calls(prompt="left alone"))
            end = time.monotonic()
        assert time.monotonic() - end < 1.5
        with pytest.raises(httpx.TransportError):
            await waiting
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(mine.url.rpartition(":")[2]))) != 0


async def test_it_runs_alone_until_a_signal_ends_it():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "workers.emulator",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
    variables = dict(line.split("=", 1) for line in lines[1:])
    url = variables["OPENAI_BASE_URL"].removesuffix("/openai/v1")
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await make(client, prompt="from outside")).status_code == 200
    [call] = await Emulator(url).calls()
    assert call.prompt == "from outside"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_alone_on_a_port_in_use_it_says_so(emulator):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "workers.emulator",
        "--port",
        emulator.url.rpartition(":")[2],
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.startswith(b"Error: The port")
    assert b"Traceback" not in errors
