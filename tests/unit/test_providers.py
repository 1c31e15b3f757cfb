"""What is common to the providers: settings, the registry, errors."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from generations.catalogue import Catalogue, Kind, Status
from workers.providers import errors
from workers.providers.base import CancellableProvider, ResumableProvider
from workers.providers.errors import (
    MESSAGE_LENGTH_MAX,
    RETRY_AFTER_SECONDS_MAX,
    ProviderError,
    ProviderFailed,
    error_for_status,
    read_retry_after,
)
from workers.providers.facts import FACTS, unknown_outcome
from workers.providers.pictures import NotAPicture, read_picture
from workers.providers.registry import live_providers
from workers.providers.settings import ProviderSettings

VARIABLES = ("OPENAI_BASE_URL", "FAL_QUEUE_URL", *(facts.variable for facts in FACTS))

# Those that a key switches on.
KEYED = [facts for facts in FACTS if facts.variable not in ("", "WORKERS_SANDBOX")]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def names() -> list[str]:
    """Return the names of the live providers, which are closed at once."""
    providers = live_providers(ProviderSettings())
    for provider in providers.values():
        await provider.aclose()
    assert list(providers) == [provider.name for provider in providers.values()]
    return list(providers)


async def test_without_keys_there_is_the_sandbox_alone():
    assert await names() == ["sandbox", "print"]


async def test_keys_switch_the_real_ones_on(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("FAL_KEY", "id:secret")
    monkeypatch.setenv("WORKERS_SANDBOX", "false")
    assert await names() == ["openai", "fal", "print"]
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert await names() == ["fal", "print"]


async def test_the_catalogue_knows_each_by_its_name(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    for facts in KEYED:
        monkeypatch.setenv(facts.variable, "id:secret")
    models = [m for m in Catalogue.load().models() if m.status is not Status.RETIRED]
    assert set(await names()) == {model.provider for model in models}
    told = {(facts.name, kind) for facts in FACTS for kind in facts.kinds}
    assert {(model.provider, model.kind) for model in models} == told


async def test_those_can_be_resumed_whose_policy_says_so(monkeypatch):
    for facts in KEYED:
        monkeypatch.setenv(facts.variable, "id:secret")
    providers = live_providers(ProviderSettings())
    resumable = {name for name, made in providers.items() if isinstance(made, ResumableProvider)}
    assert resumable == {
        name for name in providers if unknown_outcome(name, Kind.IMAGE) == "resume"
    }
    assert resumable == {"fal", "novita"}
    cancellable = {n for n, made in providers.items() if isinstance(made, CancellableProvider)}
    assert cancellable == {"fal"}
    for provider in providers.values():
        await provider.aclose()


def test_what_is_not_known_of_a_provider_is_presumed():
    assert unknown_outcome("none-such", Kind.IMAGE) == "presume_spent"
    assert unknown_outcome("novita", Kind.CHAT) == "presume_spent"


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("OPENAI_BASE_URL", "api.openai.com", "starts with https://"),
        ("OPENAI_BASE_URL", "https://", "starts with https://"),
        ("FAL_QUEUE_URL", "https://user:hunter2@fal", "user or password"),
        ("FAL_QUEUE_URL", "https://fal:99999", "port"),
        ("FAL_QUEUE_URL", "https://fal?x=hunter2", "without ?"),
        ("OPENAI_API_KEY", "sk-hunter2\n", "line breaks"),
        ("FAL_KEY", "hunter2 hunter2", "spaces"),
        ("WORKERS_SANDBOX", "hunter2", "boolean"),
    ],
)
def test_a_bad_setting_is_named_and_not_repeated(monkeypatch, variable, value, problem):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=problem) as caught:
        ProviderSettings()
    name = variable.removeprefix("WORKERS_").lower()
    assert variable in str(caught.value) or name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_keys_do_not_show(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    monkeypatch.setenv("FAL_KEY", "hunter2:hunter2")
    assert "hunter2" not in repr(ProviderSettings())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.5", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "86400"}, RETRY_AFTER_SECONDS_MAX),
    ],
)
def test_when_to_try_again(headers, seconds):
    assert read_retry_after(httpx.Headers(headers)) == seconds


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 452), *range(500, 512), 999])
def test_every_status_has_an_error_that_is_careful_with_money(status):
    error = error_for_status("openai", status, "no", httpx.Headers(), "req_1")
    assert error.dispatched in ("no", "unknown")
    assert error.dispatched == "unknown" or 400 <= status < 500
    assert f"HTTP {status}" in str(error)


def test_a_message_is_one_line_of_bounded_length():
    error = ProviderFailed("fal", "a\n\x1b[31mb\u202e" + "x" * 1000)
    assert error.message.startswith("a [31mb x")
    assert len(error.message) == MESSAGE_LENGTH_MAX


def test_the_table_in_the_docstring_is_true():
    table = [line.split() for line in (errors.__doc__ or "").splitlines() if "── " in line]
    told = {row[1]: row[2:6] for row in table}
    true = {
        kind.__name__: [kind.reason, kind.dispatched, kind.retry, kind.breaker]
        for kind in ProviderError.__subclasses__()
    }
    assert told == true


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"BM" * 40])
def test_what_is_no_picture_is_told(content):
    with pytest.raises(NotAPicture):
        read_picture(content)
