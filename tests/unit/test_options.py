"""What may be made of a request of each kind, and what is held and paid for it."""

from __future__ import annotations

from datetime import date

import pytest

from clients.amounts import Leg, Unit
from generations.catalogue import Catalogue, Kind
from generations.pricing import price
from generations.requests import validate_request
from generations.settings import Settings
from workers.options import NoOption, priced_options
from workers.paying import reserve_legs
from workers.rows import Option

TODAY = date(2026, 11, 21)
EVERYONE = {"openai", "fal", "stability", "novita", "huggingface", "groq", "sandbox"}


def request(**fields):
    """Return a validated request."""
    arguments = {"account": "acme", "prompt": "a red fox", **fields}
    return validate_request(catalogue=Catalogue.load(), today=TODAY, **arguments)


def options(wanted, providers=EVERYONE, **more):
    """Return the options of a request."""
    return priced_options(Catalogue.load(), wanted, providers, TODAY, **more)


@pytest.mark.parametrize(
    ("fields", "models"),
    [
        ({}, ["gpt-image-2", "gpt-image-2"]),
        ({"settings": Settings(seed=7)}, ["fal-ai/flux-pro/v1.1", "fal-ai/flux/schnell"]),
        (
            {"settings": Settings(seed=7, negative_prompt="fog")},
            ["stable-image-ultra", "stable-image-core"],
        ),
        ({"kind": "chat"}, ["gpt-6-sol", "gpt-6-luna"]),
        ({"kind": "chat", "quality": "standard"}, ["gpt-6-luna"]),
        (
            {"kind": "chat", "settings": Settings(temperature=0)},
            ["openai/gpt-oss-120b", "openai/gpt-oss-20b"],
        ),
        ({"kind": "video"}, ["bytedance/seedance-2.0/text-to-video"]),
        ({"kind": "video", "quality": "standard"}, ["minimax/h3/text-to-video"]),
        ({"kind": "video", "model": "sandbox-video"}, ["sandbox-video"]),
    ],
)
def test_each_kind_has_its_options_at_their_estimates(fields, models):
    wanted = request(**fields)
    found = options(wanted)
    assert [option.model for option in found] == models
    for option in found:
        estimate = price(
            Catalogue.load().find(option.model, today=TODAY),
            size=wanted.size,
            quality=option.quality,
            count=1,
            prompt=wanted.prompt,
            settings=wanted.settings,
        )
        assert option.estimate_micros == estimate > 0


def test_a_provider_that_has_failed_is_passed_over():
    wanted = request(kind="chat", quality="standard")
    tried = []
    while len(tried) < 3:
        tried.append(options(wanted, without=tried)[0].provider)
    assert tried == ["openai", "groq", "novita"]
    with pytest.raises(NoOption) as none:
        options(wanted, without=tried)
    assert none.value.failure.reason == "no_live_provider"


def test_the_sandbox_stands_in_only_where_nobody_else_is_there():
    wanted = request(kind="video")
    placeholders = [option.model for option in options(wanted, {"sandbox", "openai"})]
    assert placeholders == ["sandbox-video", "sandbox-video-mini"]
    assert [option.model for option in options(wanted, {"sandbox", "fal"})] == [
        "bytedance/seedance-2.0/text-to-video"
    ]
    with pytest.raises(NoOption):
        options(request(settings=Settings(seed=7)), {"openai", "sandbox"})
    named = request(model="sandbox-image")
    assert options(named, EVERYONE)[0].provider == "sandbox"


def test_what_nobody_who_is_live_takes_is_no_option():
    with pytest.raises(
        NoOption,
        match=r"premium image 1024x1024 with seed\. Give a worker the key of one of: fal, sta",
    ) as none:
        options(request(settings=Settings(seed=7)), {"openai"})
    assert none.value.failure.reason == "no_live_provider"


@pytest.mark.parametrize(
    ("kind", "unit"),
    [(Kind.IMAGE, Unit.IMAGES), (Kind.CHAT, Unit.MESSAGES), (Kind.VIDEO, Unit.VIDEOS)],
)
def test_money_and_count_are_held_and_paid(kind, unit):
    option = Option("sandbox", "model", "standard", 40_000)
    assert reserve_legs(kind, option, 2) == (Leg(Unit.USD, 40_000), Leg(unit, 2))
