"""Chat at OpenAI, Groq and Novita: the real SDK against the emulator over TCP, error by error."""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date

import pytest

from generations.catalogue import Catalogue
from generations.pricing import price
from generations.settings import Message, Role, Settings
from workers.emulator import Emulator, running_emulator
from workers.providers.base import ProducedFile, ProviderRequest, ResumableProvider
from workers.providers.errors import (
    AuthOrBilling,
    ConnectFailed,
    ContentRefused,
    InvalidRequest,
    ModelGone,
    ProviderError,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    Unavailable,
)
from workers.providers.openai_chat import GROQ, NOVITA, OPENAI, OpenAIChat

TODAY = date(2026, 11, 21)
DIALECTS = {"openai": OPENAI, "groq": GROQ, "novita": NOVITA}
MODELS = {
    "openai": "gpt-4o-mini",
    "groq": "openai/gpt-oss-20b",
    "novita": "meta-llama/llama-3.1-8b-instruct",
}
# So many words of its answers the emulator sends before what is ordered at the step `stream`.
WORDS_BEFORE = 6


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


def make(emulator: Emulator, name: str, *, key: str = "", seconds_max: float = 5) -> OpenAIChat:
    """Make a provider as a worker has it, with a short patience."""
    url, right_key = {
        "openai": (emulator.openai_base_url, emulator.openai_key),
        "groq": (emulator.groq_base_url, emulator.groq_key),
        "novita": (emulator.novita_base_url + "/openai/v1", emulator.novita_key),
    }[name]
    return OpenAIChat(DIALECTS[name], key or right_key, url, seconds_max=seconds_max)


@pytest.fixture(params=["openai", "groq", "novita"])
async def provider(emulator: Emulator, request) -> AsyncIterator[OpenAIChat]:
    """Each of the providers."""
    made = make(emulator, request.param)
    yield made
    await made.aclose()


@pytest.fixture
def wanted(provider: OpenAIChat) -> ProviderRequest:
    """A request with a prompt of the test's own."""
    return ProviderRequest(
        kind="chat",
        model=MODELS[provider.name],
        prompt=f"What is a red fox? {uuid.uuid4()}",
        size="",
        quality="standard",
        count=1,
        attempt_id="attempt-1",
        user="5f2a",
        settings=Settings(max_tokens=500),
    )


async def never(remote_id: str) -> None:
    """Chats have no remote ids."""
    raise AssertionError(remote_id)


async def failure(provider: OpenAIChat, request: ProviderRequest) -> ProviderError:
    """Return the error that a request gets."""
    with pytest.raises(ProviderError) as caught:
        await provider.generate(request, on_submitted=never)
    return caught.value


def bill(request: ProviderRequest, usage=None) -> int:
    """Return the bill, or the estimate if there is no usage."""
    model = Catalogue.load().find(request.model, today=TODAY)
    return price(
        model,
        size="",
        quality=request.quality,
        count=request.count,
        prompt=request.prompt,
        settings=request.settings,
        usage=usage,
    )


async def test_an_answer_comes_as_text_and_is_billed_by_its_tokens(emulator, provider, wanted):
    told = []
    request = replace(wanted, on_progress=lambda stage, percent: told.append((stage, percent)))
    result = await provider.generate(request, on_submitted=never)
    [file] = result.files
    assert file.media_type == "text/plain; charset=utf-8"
    text = file.content.decode()
    assert "EMULATED" in text
    assert wanted.prompt in text
    assert result.usage.text_output_tokens == len(text.split())
    assert not result.usage_estimated
    assert result.request_id is not None
    assert result.request_id.startswith("req_")
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert (call.attempt, call.model, call.outcome) == ("attempt-1", wanted.model, "made")
    assert 0 < bill(wanted, result.usage) == call.billed_micros < bill(wanted)
    assert {stage for stage, _ in told} == {"answering"}
    percents = [percent for _, percent in told]
    assert percents == sorted(set(percents))
    assert percents[-1] == len(text.split()) * 100 // 500


async def test_what_was_said_before_is_sent_and_counted(emulator, provider, wanted):
    settings = Settings(
        system="Be brief.",
        messages=(Message(Role.USER, "Hello"), Message(Role.ASSISTANT, "Hello to you")),
        max_tokens=500,
        temperature=0.0,
        seed=0,
    )
    short = await provider.generate(wanted, on_submitted=never)
    long = await provider.generate(replace(wanted, settings=settings), on_submitted=never)
    assert long.usage.text_input_tokens - short.usage.text_input_tokens == 2 + 1 + 3 + 3 * 3
    assert long.files[0].content != short.files[0].content
    assert bill(wanted, short.usage) <= bill(wanted)


async def test_an_answer_ends_where_it_may_not_be_longer(provider, wanted):
    request = replace(wanted, settings=Settings(max_tokens=9))
    result = await provider.generate(request, on_submitted=never)
    assert len(result.files[0].content.decode().split()) == 9
    assert result.usage.text_output_tokens == 9
    assert bill(request, result.usage) <= bill(request)


async def test_several_answers_are_one_call_where_the_provider_gives_several(
    emulator, provider, wanted
):
    request = replace(wanted, count=3)
    if provider.name == "groq":
        found = await failure(provider, request)
        assert type(found) is InvalidRequest
        assert found.dispatched == "no"
        assert await emulator.calls(prompt=wanted.prompt) == []
        return
    result = await provider.generate(request, on_submitted=never)
    # The words are drawn by the prompt, which is another each time: two answers may be alike.
    assert len(result.files) == 3
    assert len({file.content for file in result.files}) > 1
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert bill(request, result.usage) == call.billed_micros < bill(request)


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable"),
    [
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True),
        ("server_error", {}, ProviderFailed, "unknown", True),
        ("server_error", {"status": 502}, ProviderFailed, "unknown", True),
        ("refused", {}, ContentRefused, "no", False),
        ("model_gone", {}, ModelGone, "no", False),
        ("insufficient_quota", {}, AuthOrBilling, "no", False),
        ("too_large", {}, InvalidRequest, "no", False),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True),
        ("garbage", {"step": "accept"}, ProviderFailed, "unknown", True),
    ],
)
async def test_each_fault_has_its_error_and_is_one_call(
    emulator, provider, wanted, scenario, more, error, dispatched, retryable
):
    await emulator.order(provider.name, scenario, match=wanted.prompt, **more)
    found = await failure(provider, wanted)
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == more.get("seconds")
    assert found.usage is None
    assert len(await emulator.calls(prompt=wanted.prompt)) == 1
    # The order is spent: the next call goes well.
    assert (await provider.generate(wanted, on_submitted=never)).files


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("drop", TimeoutUnknown),
        ("truncated", ProviderFailed),
        ("garbage", ProviderFailed),
        ("server_error", ProviderFailed),
    ],
)
async def test_words_that_came_before_a_stream_was_cut_are_paid_for(
    emulator, provider, wanted, scenario, error
):
    await emulator.order(provider.name, scenario, step="stream", match=wanted.prompt)
    found = await failure(provider, wanted)
    assert type(found) is error
    assert (found.dispatched, found.retryable, found.usage_estimated) == ("yes", True, True)
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert call.outcome == scenario
    assert found.usage is not None
    assert found.usage.text_output_tokens >= WORDS_BEFORE
    # Not below what was used, and not above what may be.
    assert 0 < call.billed_micros <= bill(wanted, found.usage) <= bill(wanted)
    assert len(await emulator.calls(prompt=wanted.prompt)) == 1


async def test_a_cut_stream_costs_no_more_than_was_allowed(emulator, provider, wanted):
    await emulator.order(provider.name, "drop", step="stream", match=wanted.prompt)
    request = replace(wanted, settings=Settings(max_tokens=7))
    found = await failure(provider, request)
    assert found.usage is not None
    assert found.usage.text_output_tokens == 7


async def test_a_stream_that_stalls_is_given_up(emulator, wanted):
    name = next(name for name, model in MODELS.items() if model == wanted.model)
    await emulator.order(name, "hang", step="stream", match=wanted.prompt)
    impatient = make(emulator, name, seconds_max=0.4)
    found = await failure(impatient, wanted)
    await impatient.aclose()
    assert type(found) is TimeoutUnknown
    assert (found.dispatched, found.usage_estimated) == ("yes", True)
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert (call.method, call.outcome) == ("POST", "hang")


@pytest.mark.parametrize("scenario", ["drop", "truncated", "garbage", "server_error"])
async def test_a_whole_answer_without_its_usage_is_kept(emulator, provider, wanted, scenario):
    await emulator.order(provider.name, scenario, step="usage", match=wanted.prompt)
    result = await provider.generate(wanted, on_submitted=never)
    assert wanted.prompt in result.files[0].content.decode()
    assert result.usage_estimated
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert 0 < call.billed_micros <= bill(wanted, result.usage) <= bill(wanted)


async def test_an_answer_that_was_filtered_is_refused_and_paid_for(emulator, provider, wanted):
    await emulator.order(provider.name, "refused", step="stream", match=wanted.prompt)
    found = await failure(provider, wanted)
    assert type(found) is ContentRefused
    assert (found.dispatched, found.retryable, found.usage_estimated) == ("yes", False, False)
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert bill(wanted, found.usage) == call.billed_micros > 0


async def test_no_answer_in_time_is_unknown_and_exactly_one_post(emulator, provider, wanted):
    await emulator.order(provider.name, "hang", step="accept", match=wanted.prompt)
    impatient = make(emulator, provider.name, seconds_max=0.3)
    found = await failure(impatient, wanted)
    await impatient.aclose()
    assert type(found) is TimeoutUnknown
    assert (found.dispatched, found.usage) == ("unknown", None)
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert (call.method, call.outcome) == ("POST", "hang")
    assert call.billed_micros > 0


async def test_a_closed_port_was_never_sent(provider, wanted):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        nobody = OpenAIChat(DIALECTS[provider.name], "sk-x", url, seconds_max=5)
        found = await failure(nobody, wanted)
        await nobody.aclose()
    assert type(found) is ConnectFailed
    assert (found.dispatched, found.retryable) == ("no", True)


async def test_a_refused_key_is_told_without_the_key(emulator, provider, wanted):
    stranger = make(emulator, provider.name, key="sk-wrong-secret")
    found = await failure(stranger, wanted)
    await stranger.aclose()
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r} {stranger!r}"


async def test_groq_without_capacity_takes_it_later(emulator, provider, wanted):
    await emulator.order(provider.name, "no_capacity", match=wanted.prompt)
    found = await failure(provider, wanted)
    assert type(found) is Unavailable
    assert (found.dispatched, found.retryable) == ("no", True)
    assert "HTTP 498" in str(found)


@pytest.mark.parametrize("seconds", [None, 2])
async def test_a_provider_that_is_unavailable(emulator, provider, wanted, seconds):
    await emulator.order(provider.name, "unavailable", match=wanted.prompt, seconds=seconds)
    found = await failure(provider, wanted)
    assert type(found) is Unavailable
    # Novita says of the model that it is out of service; the others may have lost a server.
    told = seconds is not None or provider.name == "novita"
    assert found.dispatched == ("no" if told else "unknown")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "none-such"}, ModelGone),
        ({"model": "llama-3.3-70b-versatile"}, ModelGone),
        ({"settings": Settings(temperature=3.0)}, InvalidRequest),
        ({"settings": Settings(max_tokens=0)}, InvalidRequest),
        ({"settings": Settings(negative_prompt="rain")}, InvalidRequest),
        ({"settings": Settings(references=("acme/1/0",))}, InvalidRequest),
        ({"references": (ProducedFile(b"x", "image/png", 1, 1),)}, InvalidRequest),
    ],
)
async def test_what_they_do_not_take_costs_nothing(provider, wanted, changes, error):
    found = await failure(provider, replace(wanted, **changes))
    assert type(found) is error
    assert (found.dispatched, found.retryable) == ("no", False)


def test_it_can_not_be_resumed():
    chat = OpenAIChat(OPENAI, "k", "http://127.0.0.1:1", seconds_max=1)
    assert not isinstance(chat, ResumableProvider)
