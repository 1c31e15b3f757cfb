"""The embedders that run in this process, and what is left when they can't."""

from __future__ import annotations

import asyncio
import importlib.util
import logging

import numpy as np
import pytest

from similarity.embedders import local
from similarity.embedders.base import EmbedderFailed
from similarity.embedders.local import LocalEmbedder, wheel_file
from similarity.embedders.minilm import minilm
from similarity.embedders.wordllama import wordllama
from similarity.vectors import cosine, in_ppm, unit


@pytest.fixture(params=[wordllama, minilm], ids=["wordllama", "minilm"])
def embedder(request):
    """Each of them that is installed."""
    if request.param is minilm and not importlib.util.find_spec("onnxruntime"):
        pytest.skip("the extra minilm is not installed")
    return request.param()


async def test_vectors_have_length_1_and_what_is_alike_is_near(embedder):
    texts = [
        "a dog in the snow",
        "a puppy in the snow",
        "quarterly tax report",
        "a dog in the snow",
    ]
    found = await embedder.embed(texts)
    assert found.cost_micros == 0
    assert len(found.vectors) == len(texts)
    for vector in found.vectors:
        assert vector.shape == (embedder.dimensions,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    dog, puppy, tax, again = found.vectors
    assert cosine(dog, puppy) > cosine(dog, tax) + 0.3
    assert np.array_equal(dog, again)


async def test_a_long_text_and_any_alphabet_are_embedded(embedder):
    found = await embedder.embed(["fox " * 8_000, "狐狸 🦊 лиса", "\x00"])
    assert len(found.vectors) == 3


@pytest.mark.parametrize("text", ["", "half \ud800 a pair"])
async def test_what_can_not_be_embedded_is_told(embedder, text):
    with pytest.raises(EmbedderFailed):
        await embedder.embed([text])
    assert await embedder.embed(["a dog"])


def test_wordllama_knows_no_order_which_is_why_it_decides_nothing():
    one, other = wordllama().embed_now(["a dog chasing a cat", "a cat chasing a dog"])
    assert cosine(one, other) == pytest.approx(1, abs=1e-6)


def test_no_code_of_the_wheel_runs():
    """Its package sets up logging as it is imported."""
    wordllama().embed_now(["a dog"])
    assert not [name for name in logging.root.manager.loggerDict if name.startswith("wordllama")]


async def test_the_weights_are_loaded_once_whoever_comes_at_once():
    loads = []

    def load():
        loads.append(1)
        return lambda text: unit(np.array([1.0, float(len(text))]))

    embedder = LocalEmbedder("e", 2, load)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(embedder.embed(["x"]))
    assert loads == [1]


async def test_without_its_files_an_embedder_fails_and_does_not_look_again(monkeypatch):
    looks = []

    def load():
        looks.append(1)
        return wheel_file("no-such-package", "x", "")

    embedder = LocalEmbedder("e", 2, load)
    for _ in range(2):
        with pytest.raises(EmbedderFailed, match="no-such-package is not installed"):
            await embedder.embed(["x"])
    assert looks == [1]


def test_other_weights_than_those_that_were_measured_are_refused():
    with pytest.raises(ValueError, match="not the file that was measured"):
        local.wheel_file("wordllama", "wordllama/__init__.py", "0" * 64)


def test_a_vector_without_direction_is_none():
    for values in ([0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="direction"):
            unit(np.array(values))


def test_scores_are_rounded_down():
    assert in_ppm(0.95) in (949_999, 950_000)
    assert in_ppm(1.0) == 1_000_000
    assert in_ppm(-0.3) == 0
