"""Prices: the estimate bounds the bill, within the bounds that the module states."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generations.catalogue import Catalogue, Model
from generations.models import MICROS_MAX, Kind
from generations.pricing import (
    BILLABLE_UNITS_MAX,
    SLACK_SECONDS,
    TEMPLATE_TOKENS,
    WRAPPING_TOKENS,
    Usage,
    price,
)
from generations.settings import Message, Role, Settings
from generations.styles import steered, styles

TODAY = date(2026, 11, 21)
USABLE = [m for m in Catalogue.load().models() if m.status_on(TODAY) != "retired"]
PRICED = [m for m in USABLE if m.is_priced(size=(m.sizes or ("",))[0], quality=m.default_quality)]
IMAGES = [model for model in PRICED if model.kind is Kind.IMAGE]
LARGEST = 10**9


def optional(draw: st.DrawFn, largest: int) -> int | None:
    """Return a number up to the largest, or None: the provider says nothing."""
    return draw(st.none() | st.integers(0, largest))


@st.composite
def settings_of(draw: st.DrawFn, model: Model) -> Settings:
    """Draw settings that a model takes."""
    accepts = model.accepts
    text = st.text(max_size=40)
    if model.kind is Kind.CHAT:
        messages = st.lists(st.builds(Message, st.sampled_from(Role), text), max_size=3)
        return Settings(
            system=draw(text),
            messages=tuple(draw(messages)),
            max_tokens=draw(st.integers(1, 5_000)),
        )
    style = draw(st.sampled_from(("", *styles())))
    if model.kind is Kind.VIDEO:
        seconds = draw(st.integers(accepts.seconds_min, accepts.seconds_max))
        return Settings(style=style, seconds=seconds)
    takes_negative = "negative_prompt" in accepts.settings
    references = draw(st.integers(0, accepts.references_max))
    masked = references and "mask" in accepts.settings and draw(st.booleans())
    return Settings(
        style=style,
        negative_prompt=draw(text) if takes_negative else "",
        steps=draw(st.none() | st.integers(1, accepts.steps_max)) if accepts.steps_max else None,
        references=tuple(map(str, range(references))),
        mask="mask" if masked else "",
    )


@st.composite
def requests(draw: st.DrawFn, models: list[Model] = PRICED) -> dict:
    """A request that has a price, as the arguments of `price`."""
    model: Model = draw(st.sampled_from(models))
    quality, size = draw(st.sampled_from(model.qualities)), ""
    if model.kind is Kind.VIDEO:
        size = draw(st.sampled_from(model.sizes))
    if model.kind is Kind.IMAGE:
        size = draw(st.sampled_from(tuple(model.micros_per_image[quality])))
    if model.accepts_auto:
        quality = draw(st.sampled_from((quality, "auto")))
        size = draw(st.sampled_from((size, "auto")))
    return {
        "model": model,
        "size": size,
        "quality": quality,
        "count": draw(st.integers(1, 10)),
        "prompt": draw(st.text(max_size=60)),
        "settings": draw(settings_of(model)),
    }


def image_usage(draw: st.DrawFn, request: dict) -> Usage:
    """What a provider of images may report, if it keeps to the bounds of `generations.pricing`."""
    model, count = request["model"], request["count"]
    prompt, steering = steered(model, request["prompt"], request["settings"])
    images = draw(st.integers(0, count))
    dearest = max(model.image_prices(size=request["size"], quality=request["quality"]))
    rates = model.micros_per_million_tokens
    given = len(steering.references) + bool(steering.mask)
    sent = len(prompt.encode("utf-8")) + len(steering.negative_prompt.encode("utf-8"))
    text_input = optional(draw, count * (sent + (1 + given) * WRAPPING_TOKENS))
    image_input = optional(draw, count * given * model.tokens_per_reference)
    output, text_output = None, None
    if rates:
        output = optional(draw, images * dearest * 1_000_000 // rates["image_output"])
        if output is not None:
            left = images * dearest * 1_000_000 - output * rates["image_output"]
            text_output = optional(draw, left // rates["text_output"])
    units, seconds = None, None
    if model.micros_per_megapixel is not None:
        most = count * dearest // model.micros_per_megapixel
        units = draw(st.none() | st.decimals(0, most, allow_nan=False))
    if model.micros_per_compute_second is not None:
        most = count * dearest // model.micros_per_compute_second
        seconds = draw(st.none() | st.decimals(0, most, allow_nan=False))
    return Usage(
        images=draw(st.sampled_from((None, images))),
        text_input_tokens=text_input,
        cached_text_input_tokens=optional(draw, text_input or 0),
        image_input_tokens=image_input,
        cached_image_input_tokens=optional(draw, image_input or 0),
        image_output_tokens=output,
        text_output_tokens=text_output,
        billable_units=units,
        seconds=seconds,
    )


def chat_usage(draw: st.DrawFn, request: dict) -> Usage:
    """What a provider of chat may report."""
    chat, count = request["settings"], request["count"]
    texts = [request["prompt"], chat.system, *(said for _, said in chat.messages)]
    sent = sum(len(text.encode("utf-8")) + WRAPPING_TOKENS for text in texts if text)
    text_input = optional(draw, count * (sent + TEMPLATE_TOKENS))
    cached = optional(draw, text_input or 0)
    return Usage(
        text_input_tokens=text_input,
        cached_text_input_tokens=cached,
        cache_write_text_input_tokens=optional(draw, (text_input or 0) - (cached or 0)),
        text_output_tokens=optional(draw, count * chat.max_tokens),
    )


def video_usage(draw: st.DrawFn, request: dict) -> Usage:
    """What a provider of videos may report."""
    most = request["count"] * (request["settings"].seconds + SLACK_SECONDS)
    return Usage(
        videos=optional(draw, request["count"]),
        seconds=draw(st.none() | st.decimals(0, most, allow_nan=False)),
    )


USAGES = {Kind.IMAGE: image_usage, Kind.CHAT: chat_usage, Kind.VIDEO: video_usage}


@pytest.mark.parametrize("model", PRICED, ids=lambda model: model.name)
# Drawing text is slow at first, and slower beside other work; that is no fault.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_estimate_bounds_the_bill(model: Model, data: st.DataObject):
    request = data.draw(requests([model]))
    usage = data.draw(st.composite(USAGES[model.kind])(request))
    estimate = price(**request)
    assert estimate >= price(**request, usage=usage)


@given(requests(IMAGES))
def test_auto_is_never_cheaper_than_what_it_may_mean(request: dict):
    if request["model"].accepts_auto:
        assert price(**request | {"size": "auto", "quality": "auto"}) >= price(**request)


@given(requests(), st.integers(1, 1000), st.integers(1, 1000))
def test_more_never_costs_less(request: dict, count: int, other: int):
    fewer, more = sorted((count, other))
    assert price(**request | {"count": fewer}) <= price(**request | {"count": more})


@given(
    requests(),
    st.integers(1, LARGEST),
    st.builds(
        Usage,
        images=st.none() | st.integers(0, LARGEST),
        text_input_tokens=st.none() | st.integers(0, MICROS_MAX),
        image_input_tokens=st.none() | st.integers(0, MICROS_MAX),
        image_output_tokens=st.none() | st.integers(0, MICROS_MAX) | st.just(MICROS_MAX),
        text_output_tokens=st.none() | st.integers(0, MICROS_MAX),
        billable_units=st.none() | st.decimals(0, BILLABLE_UNITS_MAX, allow_nan=False),
        seconds=st.none() | st.decimals(0, BILLABLE_UNITS_MAX, allow_nan=False),
    ),
)
def test_a_price_is_an_integer_that_everyone_can_hold_or_an_error(
    request: dict, count: int, usage: Usage
):
    for report in (None, usage):
        try:
            micros = price(**request | {"count": count}, usage=report)
        except OverflowError:
            continue
        assert type(micros) is int
        assert 0 <= micros <= MICROS_MAX


@given(st.decimals(0, BILLABLE_UNITS_MAX, allow_nan=False))
def test_a_bill_by_units_is_the_exact_product_rounded_up(units: Decimal):
    model = next(m for m in PRICED if m.micros_per_megapixel is not None)
    billed = price(
        model,
        size=model.sizes[0],
        quality=model.qualities[0],
        count=1,
        usage=Usage(billable_units=units),
    )
    assert billed == math.ceil(Fraction(units) * model.micros_per_megapixel)


def test_every_live_model_is_bounded_or_refused():
    assert {model.provider for model in PRICED} == {
        *("openai", "fal", "stability", "novita", "huggingface", "groq", "sandbox", "print")
    }
    assert {model.kind for model in PRICED} == set(Kind)
    assert {model.name for model in USABLE} - {model.name for model in PRICED} == {
        "gpt-image-2.6-flare",
        "chatgpt-image-latest",
        "sd_xl_base_1.0.safetensors",
    }
    for model in IMAGES:
        for quality, row in model.micros_per_image.items():
            for size, micros in row.items():
                assert price(model, size=size, quality=quality, count=1) >= micros
