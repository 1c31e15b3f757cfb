"""Requests: what is refused, by which field, and when two are the same."""

from __future__ import annotations

import json
from datetime import date

import pytest

from generations.catalogue import Catalogue, Kind, RetiredModel
from generations.pricing import Unpriced
from generations.requests import (
    GenerationRequest,
    InvalidRequest,
    canonical,
    differing_fields,
    retirement_warning,
    validate_request,
)
from generations.settings import Message, Role, Settings

TODAY = date(2026, 11, 21)
IMAGE = "acme/0199a0b2-0000-7000-8000-000000000000/0"
SAID = Message(Role.ASSISTANT, "hello")


def validate(**fields: object) -> GenerationRequest:
    """Validate a request that is good but for the given fields."""
    arguments = {"account": "acme", "prompt": "a red fox", **fields}
    return validate_request(catalogue=Catalogue.load(), today=TODAY, **arguments)


def violations(**fields: object) -> dict[str, str]:
    """Return the violations of a request by field."""
    with pytest.raises(InvalidRequest) as caught:
        validate(**fields)
    assert str(caught.value)
    found = dict(caught.value.violations)
    assert len(found) == len(caught.value.violations)
    return found


def test_what_is_not_set_has_its_default():
    assert validate() == GenerationRequest(
        account="acme",
        kind=Kind.IMAGE,
        prompt="a red fox",
        model="",
        size="1024x1024",
        quality="premium",
        count=1,
    )
    assert validate(model="gpt-image-2").quality == "high"
    assert validate(model="fal-ai/flux/schnell").quality == "standard"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "line one\n\tline two"},
        {"prompt": "x" * 32_000},
        {"prompt": "🦊 ünïcode"},
        {"kind": "image", "count": 10, "quality": "standard"},
        {"size": "512x512"},
        {"model": "gpt-image-2", "size": "auto", "quality": "auto"},
        {"model": "gpt-image-2.5-flare", "quality": "xhigh"},
        {"model": "gpt-image-1.5", "quality": "low"},
        {"model": "fal-ai/flux/dev", "size": "576x1024"},
    ],
)
def test_what_is_good_passes(fields: dict):
    request = validate(**fields)
    for name, value in fields.items():
        assert getattr(request, name) == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": ""}, "is empty"),
        ({"prompt": " \n\t "}, "is empty"),
        ({"prompt": "x" * 32_001}, "has 32001 characters; at most 32000"),
        ({"prompt": "a\x07b"}, "the control character U+0007 at position 2"),
        ({"prompt": "a\r\n"}, "the control character U+000D at position 2"),
        ({"prompt": "a\x7f"}, "the control character U+007F"),
        ({"prompt": "a\x00"}, "the control character U+0000"),
        ({"prompt": "a\x85"}, "the control character U+0085"),
        ({"prompt": "fox \ud83e"}, "half a surrogate pair U+D83E at position 5"),
        ({"kind": "voice"}, "'voice' is unknown; must be: image, chat, video"),
        ({"model": "gpt-image-22"}, "There is no model 'gpt-image-22'. Did you mean gpt-image-2"),
        ({"model": "openai/gpt-oss-20b"}, "'openai/gpt-oss-20b' makes chat, not image"),
        ({"size": "big"}, "'big' is no size; one looks like 1024x1024"),
        ({"size": "1024X1024"}, "is no size"),
        ({"size": "0x0"}, "is no size"),
        ({"size": "auto"}, "'auto' is not available; must be one of: 1024x1024"),
        ({"size": "123x456"}, "'123x456' is not available; must be one of: 1024x1024"),
        ({"size": "x" * 9000}, "'" + "x" * 40 + "…' is no size"),
        ({"model": "sandbox-image", "size": "256x256"}, "must be one of: 512x512, 1024x1024, "),
        ({"model": "gpt-image-2", "size": "512x512"}, "1536x1024, auto."),
        ({"model": "sandbox-image", "size": "auto"}, "'auto' is not available"),
        ({"quality": "ultra"}, "'ultra' is unknown; must be one of: premium, standard"),
        ({"quality": "high"}, "must be one of: premium, standard"),
        ({"model": "gpt-image-2", "quality": "premium"}, "must be one of: low, medium, high, auto"),
        ({"count": 0}, "is 0; must be 1 to 10"),
        ({"count": 11}, "is 11; must be 1 to 10"),
        ({"count": -1}, "is -1; must be 1 to 10"),
        ({"kind": "chat", "size": "1024x1024"}, "is not for chat; leave it out"),
        ({"kind": "chat", "model": "gpt-image-2"}, "'gpt-image-2' makes image, not chat"),
        ({"kind": "chat", "quality": "high"}, "must be one of: premium, standard"),
        ({"kind": "video", "size": "1024x1024"}, "is no resolution; one looks like 720p"),
        ({"kind": "video", "size": "999p"}, "'999p' is not available; must be one of: 480p"),
        ({"kind": "video", "model": "minimax/h3/text-to-video", "size": "720p"}, "480p, 768p"),
        (
            {"kind": "video", "model": "minimax/h3/text-to-video", "count": 2},
            "must be at most 1 for this model",
        ),
    ],
)
def test_what_is_bad_is_told_by_its_field(fields: dict, message: str):
    ((name, found),) = violations(**fields).items()
    assert name == list(fields)[-1]
    assert message in found


def test_every_violation_is_told_at_once():
    found = violations(prompt="", kind="song", model="nope", size="big", count=99)
    assert list(found) == ["kind", "prompt", "model", "size", "count"]
    assert list(violations(prompt="\x00", size="1x1", quality="best")) == [
        "prompt",
        "size",
        "quality",
    ]


def test_a_retired_or_unpriced_model_is_told_by_its_own_error():
    with pytest.raises(RetiredModel) as retired:
        validate(model="dall-e-3", size="1024x1792", quality="hd")
    assert retired.value.substitute == "gpt-image-2"
    with pytest.raises(Unpriced) as unpriced:
        validate(model="chatgpt-image-latest", quality="high")
    assert unpriced.value.substitute == "gpt-image-2"
    with pytest.raises(Unpriced):
        validate(model="gpt-image-2.6-flare")
    # What is wrong in any case comes first.
    assert list(violations(model="dall-e-3", count=0)) == ["count"]


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({}, Settings(negative_prompt="fog", seed=0, steps=30, style="photo", mask=IMAGE,
                      references=(IMAGE,), output_format="webp")),
        ({"model": "gpt-image-2"}, Settings(references=(IMAGE,) * 16, output_format="jpeg")),
        ({"model": "fal-ai/flux/dev"}, Settings(seed=2**31 - 1, steps=28, style="anime")),
        ({"kind": "chat"}, Settings(system="x" * 32_000, messages=(SAID,) * 100, seed=1,
                                    max_tokens=32_768, temperature=2)),
        ({"kind": "chat", "model": "gpt-6-luna"}, Settings(max_tokens=1)),
        ({"kind": "video"}, Settings(seconds=15, style="cinematic", seed=1)),
        ({"kind": "video", "model": "sandbox-video"}, Settings(seconds=30, negative_prompt="x")),
    ],
)  # fmt: skip
def test_what_may_be_set_passes(fields: dict, settings: Settings):
    request = validate(**fields, settings=settings)
    told = request.settings.encode()
    assert {name: told[name] for name in settings.encode()} == settings.encode()


def test_what_bounds_the_price_is_always_said():
    assert validate(kind="chat").settings == Settings(max_tokens=1_024)
    assert validate(kind="chat").size == ""
    video = validate(kind="video")
    assert (video.size, video.settings) == ("720p", Settings(seconds=5))
    assert validate(kind="video", quality="standard").size == "480p"
    # A model without the usual resolution has its first.
    h3 = validate(kind="video", model="minimax/h3/text-to-video")
    assert (h3.size, h3.quality) == ("480p", "standard")
    assert validate(kind="chat", model="openai/gpt-oss-120b").quality == "premium"


def test_an_image_without_settings_is_canonical_as_it_always_was():
    # Rows of before have `{}`, and a replay of theirs must find the same.
    assert canonical(validate()) == {
        "account": "acme",
        "kind": "image",
        "prompt": "a red fox",
        "model": "",
        "size": "1024x1024",
        "quality": "premium",
        "count": 1,
        "settings": {},
    }


@pytest.mark.parametrize(
    ("fields", "settings", "field", "message"),
    [
        ({}, Settings(negative_prompt="x" * 2_001), "negative_prompt", "at most 2000"),
        ({}, Settings(negative_prompt="a\0"), "negative_prompt", "control character U+0000"),
        ({}, Settings(seed=-1), "seed", "is -1; must be 0 to 2147483647"),
        ({}, Settings(seed=2**31), "seed", "must be 0 to 2147483647"),
        ({}, Settings(steps=0), "steps", "is 0; must be 1 to 100"),
        ({}, Settings(steps=101), "steps", "is 101; must be 1 to 100"),
        ({}, Settings(style="baroque"), "style", "'baroque' is no style; must be one of: photo"),
        ({}, Settings(output_format="gif"), "output_format", "must be one of: png, webp, jpeg"),
        ({}, Settings(references=(IMAGE,) * 17), "references", "are 17; at most 16"),
        ({}, Settings(references=(IMAGE, "x")), "references[1]", "'x' is no artifact of the tena"),
        ({}, Settings(references=(IMAGE.replace("acme", "b"),)), "references[0]", "no artifact"),
        ({}, Settings(mask=IMAGE), "mask", "has nothing to mask"),
        ({}, Settings(mask="x", references=(IMAGE,)), "mask", "'x' is no artifact"),
        ({}, Settings(seconds=5), "seconds", "is not for image, which takes: negative_prompt, s"),
        ({}, Settings(max_tokens=5), "max_tokens", "is not for image"),
        ({"kind": "chat"}, Settings(style="photo"), "style", "is not for chat, which takes: syst"),
        ({"kind": "chat"}, Settings(max_tokens=0), "max_tokens", "must be 1 to 32768"),
        ({"kind": "chat"}, Settings(temperature=2.1), "temperature", "is 2.1; must be 0 to 2"),
        ({"kind": "chat"}, Settings(temperature=float("nan")), "temperature", "is nan; must be"),
        ({"kind": "chat"}, Settings(system="x" * 32_001), "system", "at most 32000"),
        ({"kind": "chat"}, Settings(messages=(SAID,) * 101), "messages", "are 101; at most 100"),
        (
            {"kind": "chat"},
            Settings(messages=(SAID, Message(Role.USER, " "))),
            "messages[1].content",
            "is empty",
        ),
        (
            {"kind": "chat"},
            Settings(messages=(Message(Role.USER, "é" * 32_000),) * 4),
            "messages",
            "make 256009 bytes with prompt and system; at most 200000",
        ),
        ({"kind": "video"}, Settings(seconds=61), "seconds", "is 61; must be 1 to 60"),
        ({"kind": "video"}, Settings(steps=5), "steps", "is not for video"),
        ({"model": "gpt-image-2"}, Settings(seed=1), "seed", "is not taken by this model, which t"),
        ({"model": "fal-ai/flux/dev"}, Settings(steps=29), "steps", "at most 28 for this model"),
        (
            {"model": "fal-ai/flux/dev"},
            Settings(output_format="webp"),
            "output_format",
            "jpeg, png",
        ),
        ({"model": "sd3.5-large"}, Settings(references=(IMAGE,) * 2), "references", "at most 1"),
        (
            {"kind": "chat", "model": "gpt-6-sol"},
            Settings(temperature=0),
            "temperature",
            "is not taken by this model, which takes: messages, system",
        ),
        (
            {"kind": "video", "model": "minimax/h3/text-to-video"},
            Settings(seconds=4),
            "seconds",
            "must be 5 to 15 for this model",
        ),
        ({"kind": "video"}, Settings(seconds=60), "seconds", "no default model takes seconds as"),
    ],
)
def test_what_may_not_be_set_is_told_by_its_field(
    fields: dict, settings: Settings, field: str, message: str
):
    ((name, found),) = violations(**fields, settings=settings).items()
    assert name == f"settings.{field}"
    assert message in found


def test_every_violation_of_settings_is_told_at_once():
    settings = Settings(seed=-1, steps=0, style="x", output_format="x", mask="x", seconds=1)
    assert set(violations(prompt="", count=0, settings=settings)) == {
        *("prompt", "count", "settings.seed", "settings.steps", "settings.style"),
        *("settings.output_format", "settings.mask", "settings.seconds"),
    }


def test_a_model_that_ends_soon_is_warned_of():
    catalogue = Catalogue.load()
    warned = retirement_warning(catalogue, validate(model="gpt-image-1.5"), TODAY)
    assert warned == ("The model 'gpt-image-1.5' ends on 2026-12-01. Use 'gpt-image-2' from now.")
    assert retirement_warning(catalogue, validate(model="gpt-image-2"), TODAY) == ""
    assert retirement_warning(catalogue, validate(), TODAY) == ""


def test_requests_are_compared_by_canonical_fields():
    first, second = canonical(validate()), canonical(validate(size="512x512", count=2))
    assert json.loads(json.dumps(first)) == first
    assert differing_fields(first, first) == ()
    assert differing_fields(first, canonical(validate(size="1024x1024", kind="image"))) == ()
    assert differing_fields(first, second) == ("size", "count")
    assert differing_fields(first, {**first, "seed": 7}) == ("seed",)
