"""OpenAI's vectors: the real SDK against the emulator over TCP, and what is paid for."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import numpy as np
import pytest
from starlette.responses import JSONResponse

from generations.catalogue import Catalogue
from generations.pricing import price_embedding
from similarity.embedders.base import EmbedderFailed
from similarity.embedders.openai import DIMENSIONS, MODEL, OpenAIEmbedder
from similarity.vectors import cosine
from workers.emulator import Emulator, running_emulator
from workers.emulator import embedding_wire as wire


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their texts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def embedder(emulator: Emulator) -> AsyncIterator[OpenAIEmbedder]:
    """An embedder with the emulator's key."""
    made = OpenAIEmbedder(Catalogue.load(), emulator.openai_key, emulator.openai_base_url)
    yield made
    await made.aclose()


def bound(text):
    """Return what a text costs at most."""
    return price_embedding(Catalogue.load().embedding(MODEL), [text])


async def failure(embedder, text):
    """Return the error that a text gets."""
    with pytest.raises(EmbedderFailed) as caught:
        await embedder.embed([text])
    return caught.value


async def test_vectors_come_in_order_with_what_they_cost(emulator, embedder):
    texts = ["a fox in the snow", "a red fox in the snow", "quarterly tax report"]
    found = await embedder.embed(texts)
    fox, red_fox, tax = found.vectors
    assert {vector.shape for vector in found.vectors} == {(DIMENSIONS,)}
    assert all(vector.dtype == np.float32 for vector in found.vectors)
    assert cosine(fox, red_fox) > cosine(fox, tax) + 0.3
    (call,) = await emulator.calls(prompt="quarterly tax report")
    assert found.cost_micros == call.billed_micros == 1
    again = await embedder.embed(["a fox in the snow"])
    assert np.array_equal(again.vectors[0], fox)


async def test_a_bill_is_by_the_tokens_and_a_long_text_is_cut(emulator, embedder):
    text = "a very long fox " * 2_000
    found = await embedder.embed([text])
    (call,) = await emulator.calls(prompt="a very long fox")
    assert len(call.prompt) == 8_000
    assert found.cost_micros == call.billed_micros == 40  # 2,000 tokens
    assert (await embedder.embed(["狐" * 8_000])).cost_micros == 40


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("rate_limited", "429"),
        ("unavailable", "503"),
        ("server_error", "500"),
        ("model_gone", "404"),
        ("insufficient_quota", "429"),
        ("refused", "400"),
    ],
)
async def test_what_is_refused_costs_nothing(emulator, embedder, scenario, said):
    text = f"a fox that is {scenario}"
    await emulator.order("openai", scenario, match=text)
    error = await failure(embedder, text)
    assert said in str(error)
    assert error.cost_micros == 0
    assert sum(call.billed_micros for call in await emulator.calls(prompt=text)) == 0
    # Once and no more: it is not repeated behind our back.
    assert len(await emulator.calls(prompt=text)) == 1


@pytest.mark.parametrize("scenario", ["drop", "garbage"])
async def test_what_was_sent_and_not_answered_is_presumed_to_be_billed(
    emulator, embedder, scenario
):
    text = f"a fox with a {scenario} in the answer, which is a text of some length"
    await emulator.order("openai", scenario, step="accept", match=text)
    error = await failure(embedder, text)
    billed = sum(call.billed_micros for call in await emulator.calls(prompt=text))
    assert error.cost_micros == bound(text) >= billed > 0


async def test_nobody_waits_for_long(emulator):
    text = "a fox that hangs"
    await emulator.order("openai", "hang", match=text)
    made = OpenAIEmbedder(
        Catalogue.load(), emulator.openai_key, emulator.openai_base_url, seconds_max=0.2
    )
    error = await failure(made, text)
    assert error.cost_micros == bound(text)
    await made.aclose()


async def test_a_wrong_key_an_empty_text_and_nobody_there(emulator, embedder):
    wrong = OpenAIEmbedder(Catalogue.load(), "sk-wrong", emulator.openai_base_url)
    error = await failure(wrong, "a fox without a key")
    assert ("401" in str(error), error.cost_micros) == (True, 0)
    assert "sk-wrong" not in str(error)
    await wrong.aclose()
    assert (await failure(embedder, " ")).cost_micros == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        nobody = OpenAIEmbedder(Catalogue.load(), "sk", url)
        assert "did not answer" in str(await failure(nobody, "a fox"))
        await nobody.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        {"data": None, "usage": {"prompt_tokens": 3}},
        {"data": [], "usage": {"prompt_tokens": 3}},
        {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "usage": {"prompt_tokens": 3}},
        {"data": [{"index": 7, "embedding": [1.0] * DIMENSIONS}], "usage": None},
        {"data": [{"index": 0, "embedding": [0.0] * DIMENSIONS}], "usage": {"prompt_tokens": -3}},
        {"data": [{"index": 0, "embedding": "x"}], "usage": {"prompt_tokens": "x"}},
        [],
    ],
)
async def test_an_answer_that_is_none_is_paid_for_all_the_same(embedder, monkeypatch, answer):
    def odd(*_):
        return JSONResponse(answer)

    monkeypatch.setattr(wire, "close_call", odd)
    error = await failure(embedder, "a fox")
    assert error.cost_micros == 1


async def test_the_emulator_refuses_what_openai_does(emulator, embedder):
    client = embedder._client
    for body in (
        {"model": "text-embedding-9", "input": "x"},
        {"model": MODEL, "input": []},
        {"model": MODEL, "input": ""},
        {"model": MODEL, "input": "x" * 40_000},
        {"model": MODEL, "input": "x", "dimensions": 1_537},
        {"model": MODEL, "input": "x", "more": 1},
    ):
        response = await client._client.post(
            f"{emulator.openai_base_url}/embeddings",
            json=body,
            headers={"authorization": f"Bearer {emulator.openai_key}"},
        )
        assert response.status_code in (400, 404), body
        assert response.json()["error"]["message"]
