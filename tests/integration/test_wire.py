"""What providers are asked, and what is made of their answers: recorded shapes, byte by byte.

Each file in tests/fixtures/wire has a request of ours, what has to be sent for it, and answers as
the provider's documents give them, with what has to come of each.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from generations.settings import Settings
from recorded import Asked, Recorded, recorded
from workers.providers.base import ProducedFile, Provider, ProviderRequest, ProviderResult
from workers.providers.errors import ProviderError
from workers.providers.fal_queue import FalQueue
from workers.providers.huggingface import HuggingFace
from workers.providers.novita_images import NovitaImages
from workers.providers.openai_chat import GROQ, NOVITA, OPENAI, OpenAIChat
from workers.providers.openai_images import OpenAIImages
from workers.providers.stability import Stability

FOLDER = Path(__file__).parents[1] / "fixtures" / "wire"
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CASES = [(name, case) for name, recording in FILES.items() for case in recording["cases"]]
# The way to make each provider, given the server's URL; its key is KEY.
PROVIDERS: dict[str, Callable[[str], Provider]] = {
    "openai-chat": lambda url: OpenAIChat(OPENAI, "KEY", f"{url}/v1", seconds_max=5),
    "groq-chat": lambda url: OpenAIChat(GROQ, "KEY", f"{url}/openai/v1", seconds_max=5),
    "novita-chat": lambda url: OpenAIChat(NOVITA, "KEY", f"{url}/openai/v1", seconds_max=5),
    "openai-images": lambda url: OpenAIImages("KEY", f"{url}/v1", seconds_max=5),
    "fal": lambda url: FalQueue("KEY", url, seconds_max=5),
    "huggingface": lambda url: HuggingFace("KEY", f"{url}/hf-inference", seconds_max=5),
    "novita-images": lambda url: NovitaImages("KEY", url, seconds_max=5),
    "stability": lambda url: Stability("KEY", url, seconds_max=5),
}


def request_of(asked: dict[str, Any]) -> ProviderRequest:
    """Return the request that a file describes; an artifact is given by its text."""
    given = {
        name: tuple(ProducedFile(text.encode(), "image/png", 1, 1) for text in asked.pop(name, ()))
        for name in ("references", "mask")
    }
    settings = Settings.decode(asked.pop("settings", {}))
    return ProviderRequest(
        **{"count": 1, "attempt_id": "attempt-1", "user": "", **asked},
        settings=settings,
        references=given["references"],
        mask=next(iter(given["mask"]), None),
    )


async def nothing(_remote_id: str) -> None:
    """Take a remote id."""


async def outcome(provider: Provider, request: ProviderRequest) -> dict[str, Any]:
    """Return what comes of a request, in the words of the files."""
    try:
        found = await provider.generate(request, on_submitted=nothing)
    except ProviderError as error:
        return {
            "error": type(error).__name__,
            "dispatched": error.dispatched,
            "message": error.message,
            "retry_after_seconds": error.retry_after_seconds,
            **common(error),
        }
    return {"files": [described(file) for file in found.files], **common(found)}


def common(found: ProviderResult | ProviderError) -> dict[str, Any]:
    """Return what results and errors both tell."""
    usage = asdict(found.usage) if found.usage else {}
    return {
        "usage": {name: readable(value) for name, value in usage.items() if value is not None},
        "usage_estimated": found.usage_estimated,
        "request_id": found.request_id,
    }


def readable(figure: int | Decimal) -> int | str:
    """Return a figure as it stands in the files."""
    return str(figure) if isinstance(figure, Decimal) else figure


def described(file: ProducedFile) -> dict[str, Any]:
    """Return a file in the words of the files."""
    if file.media_type.startswith("text/"):
        return {"type": file.media_type, "text": file.content.decode()}
    return {"type": file.media_type, "width": file.width, "height": file.height}


def assert_sent(asked: Asked, expected: dict[str, Any]) -> None:
    """See that a request is the one recorded; of headers, those that are recorded."""
    assert f"{asked.method} {asked.path}" == f"{expected['method']} {expected['path']}"
    headers = {name: asked.headers.get(name) for name in expected["headers"]}
    assert headers == expected["headers"]
    assert asked.body() == expected["body"]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Recorded]:
    """A server for the module."""
    async with recorded() as running:
        yield running


@pytest.fixture(scope="module")
async def providers(server: Recorded) -> AsyncIterator[dict[str, Provider]]:
    """Each of the providers, as a client of the server."""
    made = {name: make(server.url) for name, make in PROVIDERS.items()}
    yield made
    for provider in made.values():
        await provider.aclose()


@pytest.mark.parametrize(("name", "case"), CASES)
async def test_what_is_sent_and_what_comes_of_the_answer(server, providers, name, case):
    recording = FILES[name]
    answers, expected = recording["cases"][case]["answers"], recording["cases"][case]["outcome"]
    server.play(answers)
    found = await outcome(providers[recording["provider"]], request_of({**recording["asked"]}))
    assert {key: found.get(key) for key in expected} == expected
    assert len(server.asked) == len(answers)
    for asked, sent in zip(server.asked, recording["requests"], strict=False):
        assert_sent(asked, sent)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_says_where_its_shapes_are_from(name):
    assert FILES[name]["sources"]
    assert FILES[name]["cases"]
