"""The emulator's chats: their shapes, what they take, what they are told, what they would bill."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image

from workers.emulator import Emulator, running_emulator

KEYS = {"openai": "sk-emulated", "groq": "gsk_emulated", "novita": "sk_emulated"}
PATHS = {
    "openai": "/openai/v1",
    "groq": "/groq/openai/v1",
    "novita": "/novita/openai/v1",
}
MODELS = {
    "openai": "gpt-4o-mini",
    "groq": "openai/gpt-oss-20b",
    "novita": "meta-llama/llama-3.1-8b-instruct",
}
LIMITS = {"openai": "max_completion_tokens", "groq": "max_completion_tokens"}


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


@pytest.fixture(params=list(PATHS))
def name(request) -> str:
    """Each of the providers."""
    return request.param


async def ask(client, name, prompt, *, key: str = "", **body) -> httpx.Response:
    """Ask one of them; what is None is left out."""
    body = {
        "model": MODELS[name],
        "messages": [{"role": "user", "content": prompt}],
        LIMITS.get(name, "max_tokens"): 100,
        **body,
    }
    return await client.post(
        f"{PATHS[name]}/chat/completions",
        json={field: value for field, value in body.items() if value is not None},
        headers={"authorization": f"Bearer {key or KEYS[name]}"},
    )


def events(response: httpx.Response) -> list:
    """Return the events of a stream."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_an_answer_is_the_same_at_once_and_as_a_stream(client, emulator, name):
    prompt = f"{name} twice"
    whole = (await ask(client, name, prompt)).json()
    response = await ask(client, name, prompt, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *pieces, told, done = events(response)
    assert done == "[DONE]"
    assert told["choices"] == []
    words = [piece["choices"][0]["delta"].get("content") or "" for piece in pieces]
    [choice] = whole["choices"]
    assert "".join(words) == choice["message"]["content"]
    assert pieces[-1]["choices"][0]["finish_reason"] == choice["finish_reason"] == "stop"
    assert told["usage"] == whole["usage"]
    assert whole["usage"]["completion_tokens"] == sum(map(bool, words))
    assert {piece["object"] for piece in [*pieces, told]} == {"chat.completion.chunk"}
    first, second = await emulator.calls(prompt=prompt)
    assert first.billed_micros == second.billed_micros > 0
    assert response.headers["x-request-id"].startswith("req_")


async def test_groq_tells_its_usage_in_its_own_field_too(client):
    response = await ask(
        client, "groq", "own field", stream=True, stream_options={"include_usage": True}
    )
    told = events(response)[-2]
    assert told["x_groq"]["usage"] == told["usage"]
    assert "queue_time" in told["usage"]


async def test_a_stream_tells_no_usage_unless_it_is_wanted(client, name):
    pieces = events(await ask(client, name, "unwanted", stream=True))
    assert not [piece for piece in pieces[:-1] if piece.get("usage")]
    assert pieces[-1] == "[DONE]"


async def test_a_limit_ends_an_answer(client, name):
    answer = (await ask(client, name, "limit", **{LIMITS.get(name, "max_tokens"): 5})).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


async def test_the_tool_for_filtered_content_works_without_a_stream(client, emulator, name):
    await emulator.order(name, "refused", step="stream", match=f"{name} filtered")
    answer = (await ask(client, name, f"{name} filtered")).json()
    assert answer["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"messages": []}, 400, "invalid_value"),
        ({"messages": "hello"}, 400, "invalid_value"),
        ({"messages": [{"role": "user"}]}, 400, "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_value"),
        ({"temperature": 3}, 400, "invalid_value"),
        ({"temperature": "hot"}, 400, "invalid_value"),
        ({"n": 0}, 400, "invalid_value"),
        ({"n": 200}, 400, "invalid_value"),
        ({"n": True}, 400, "invalid_value"),
        ({"max_completion_tokens": 0, "max_tokens": 0}, 400, None),
        ({"frobnicate": 1}, 400, "unknown_parameter"),
        ({"model": "none"}, 404, "model_not_found"),
        ({"model": "gpt-image-2"}, 404, "model_not_found"),
    ],
)
async def test_requests_are_checked(client, name, changes, status, code):
    response = await ask(client, name, "checked", **changes)
    assert response.status_code == status
    said = response.json()
    if name == "novita":
        assert said["code"] == status
        assert said["reason"] in ("INVALID_REQUEST_BODY", "MODEL_NOT_FOUND")
    else:
        assert code in (None, said["error"]["code"])


async def test_groq_says_of_an_old_model_that_it_is_decommissioned(client):
    response = await ask(client, "groq", "old", model="llama-3.1-8b-instant")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "model_decommissioned"


@pytest.mark.parametrize("other", ["groq", "novita"])
async def test_each_has_a_key_of_its_own(client, other):
    response = await ask(client, other, "key", key=KEYS["openai"])
    assert response.status_code == 401


@pytest.mark.parametrize("content", ["", "[]", "{"])
async def test_a_body_that_is_no_object_is_refused(client, name, content):
    headers = {"authorization": f"Bearer {KEYS[name]}"}
    path = f"{PATHS[name]}/chat/completions"
    response = await client.post(path, content=content, headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "order",
    [
        {"provider": "fal", "scenario": "drop", "step": "stream"},
        {"provider": "stability", "scenario": "drop", "step": "usage"},
        {"provider": "openai", "scenario": "rate_limited", "step": "stream"},
        {"provider": "openai", "scenario": "truncated"},
        {"provider": "groq", "scenario": "job_stuck"},
        {"provider": "groq", "scenario": "drop", "step": "status"},
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(client, order):
    assert (await client.post("/__ctl", json=order)).status_code == 400


@pytest.mark.parametrize("scenario", ["drop", "hang", "truncated", "server_error", "garbage"])
async def test_what_was_sent_before_a_stream_went_wrong_is_billed(client, emulator, name, scenario):
    prompt = f"{name} {scenario} amid"
    await ask(client, name, prompt)
    await emulator.order(name, scenario, step="stream", match=prompt)
    sent = 0
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = {
        "model": MODELS[name],
        "messages": [{"role": "user", "content": prompt}],
        LIMITS.get(name, "max_tokens"): 100,
        **options,
    }
    headers = {"authorization": f"Bearer {KEYS[name]}"}
    path = f"{PATHS[name]}/chat/completions"
    try:
        async with client.stream("POST", path, json=body, headers=headers, timeout=0.5) as stream:
            async for line in stream.aiter_lines():
                sent += '"delta":{"content":' in line
    except httpx.TransportError:
        assert scenario in ("drop", "hang")
    assert sent == 6
    whole, cut = await emulator.calls(prompt=prompt)
    assert 0 < cut.billed_micros < whole.billed_micros
    assert cut.outcome == scenario


def form(**fields: str) -> dict[str, str]:
    """Return the fields of a form that asks for an edit."""
    return {"model": "gpt-image-2", "prompt": "at night", "quality": "low", **fields}


def picture() -> bytes:
    """Return a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        ({}, [], "invalid_multipart_form_data"),
        ({}, [("mask", "image/png")], "invalid_value"),
        ({}, [("image", "text/plain")], "invalid_image_file"),
        ({}, [("image", "image/png")] * 17, "invalid_value"),
        (
            {},
            [("image", "image/png"), ("mask", "image/png"), ("mask", "image/png")],
            "invalid_value",
        ),
        ({"n": "0"}, [("image", "image/png")], "invalid_value"),
        ({"n": "x"}, [("image", "image/png")], "invalid_value"),
        ({"model": "dall-e-2"}, [("image", "image/png")], "model_not_found"),
        ({"seed": "1"}, [("image", "image/png")], "unknown_parameter"),
    ],
)
async def test_edits_are_checked(client, fields, files, code):
    response = await client.post(
        "/openai/v1/images/edits",
        data=form(**fields),
        files=[(field, ("x.png", picture(), kind)) for field, kind in files],
        headers={"authorization": f"Bearer {KEYS['openai']}"},
    )
    assert response.json()["error"]["code"] == code


async def test_an_edit_has_the_shape_of_openais(client, emulator):
    files = [("image[]", ("x.png", picture(), "image/png"))] * 2
    response = await client.post(
        "/openai/v1/images/edits",
        data=form(prompt="shape of an edit", n="2", output_format="webp"),
        files=files,
        headers={"authorization": f"Bearer {KEYS['openai']}"},
    )
    answer = response.json()
    assert len(answer["data"]) == 2
    assert answer["output_format"] == "webp"
    details = answer["usage"]["input_tokens_details"]
    assert sum(details.values()) == answer["usage"]["input_tokens"]
    assert details["image_tokens"] > 0
    [call] = await emulator.calls(prompt="shape of an edit")
    assert call.billed_micros > 0
