"""Prices: the estimate bounds the bill, within the bounds that the module states."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from generations.catalogue import Catalogue, Model
from generations.models import MICROS_MAX
from generations.pricing import BILLABLE_UNITS_MAX, WRAPPING_TOKENS, Usage, price

PRICED = [model for model in Catalogue.load().models("image") if model.sizes]
LARGEST = 10**9


@st.composite
def requests(draw: st.DrawFn) -> dict:
    """A request that has a price, as the arguments of `price`."""
    model: Model = draw(st.sampled_from(PRICED))
    quality = draw(st.sampled_from(model.qualities))
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
    }


def optional(draw: st.DrawFn, largest: int) -> int | None:
    """Return a number up to the largest, or None: the provider says nothing."""
    return draw(st.none() | st.integers(0, largest))


@st.composite
def bounded_usages(draw: st.DrawFn, request: dict) -> Usage:
    """What a provider may report of a request that keeps to the bounds of `generations.pricing`."""
    model, count = request["model"], request["count"]
    images = draw(st.integers(0, count))
    dearest = max(model.image_prices(size=request["size"], quality=request["quality"]))
    rates = model.micros_per_million_tokens
    text_input = optional(draw, count * (len(request["prompt"].encode("utf-8")) + WRAPPING_TOKENS))
    output, text_output = None, None
    if rates:
        output = optional(draw, images * dearest * 1_000_000 // rates["image_output"])
        if output is not None:
            left = images * dearest * 1_000_000 - output * rates["image_output"]
            text_output = optional(draw, left // rates["text_output"])
    units = None
    if model.micros_per_megapixel is not None:
        most = count * dearest // model.micros_per_megapixel
        units = draw(st.none() | st.decimals(0, most, allow_nan=False))
    return Usage(
        images=draw(st.sampled_from((None, images))),
        text_input_tokens=text_input,
        cached_text_input_tokens=optional(draw, text_input or 0),
        image_output_tokens=output,
        text_output_tokens=text_output,
        billable_units=units,
    )


@given(st.data())
def test_the_estimate_bounds_the_bill(data: st.DataObject):
    request = data.draw(requests())
    usage = data.draw(bounded_usages(request))
    estimate = price(**request)
    assert estimate >= price(**request, usage=usage)


@given(requests())
def test_auto_is_never_cheaper_than_what_it_may_mean(request: dict):
    if request["model"].accepts_auto:
        assert price(**request | {"size": "auto", "quality": "auto"}) >= price(**request)


@given(requests(), st.integers(1, 1000), st.integers(1, 1000))
def test_more_images_never_cost_less(request: dict, count: int, other: int):
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


def test_every_priced_model_can_be_estimated():
    today = date(2026, 11, 21)
    usable = [model for model in PRICED if model.status_on(today) != "retired"]
    assert {model.provider for model in usable} == {"openai", "fal", "sandbox"}
    for model in usable:
        for quality, row in model.micros_per_image.items():
            for size, micros in row.items():
                assert price(model, size=size, quality=quality, count=1) >= micros
