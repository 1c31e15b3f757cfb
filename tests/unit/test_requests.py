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
    validate_request,
)

TODAY = date(2026, 11, 21)


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
        ({"kind": "chat"}, "'chat' is not supported yet; must be: image"),
        ({"kind": "voice"}, "'voice' is unknown; must be: image"),
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


def test_requests_are_compared_by_canonical_fields():
    first, second = canonical(validate()), canonical(validate(size="512x512", count=2))
    assert json.loads(json.dumps(first)) == first
    assert differing_fields(first, first) == ()
    assert differing_fields(first, canonical(validate(size="1024x1024", kind="image"))) == ()
    assert differing_fields(first, second) == ("size", "count")
    assert differing_fields(first, {**first, "seed": 7}) == ("seed",)
