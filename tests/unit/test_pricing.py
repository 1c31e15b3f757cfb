"""Prices: known figures, for estimates and for bills."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import product

import pytest

from generations.catalogue import Catalogue, Model
from generations.models import Kind
from generations.pricing import WRAPPING_TOKENS, Unpriced, Usage, price
from generations.settings import Message, Role, Settings
from generations.styles import steered, styles

TODAY = date(2026, 11, 21)


def model(name: str) -> Model:
    """Return a model of our own catalogue."""
    return Catalogue.load().find(name, today=TODAY)


def test_the_estimate_of_a_flat_price_is_the_price_times_the_count():
    sandbox = model("sandbox-image")
    assert price(sandbox, size="512x512", quality="standard", count=1, prompt="a fox") == 40_000
    assert price(sandbox, size="1024x1536", quality="premium", count=3) == 240_000


def test_the_estimate_counts_a_token_for_each_byte_of_the_prompt_and_rounds_up():
    image = model("gpt-image-2")
    # "é" has two bytes: (2 + 64) tokens at $5 a million are 330 micros an image.
    assert price(image, size="1024x1024", quality="low", count=1, prompt="é") == 6_330
    assert price(image, size="1024x1024", quality="low", count=2, prompt="é") == 2 * 6_330
    mini = model("gpt-image-1-mini")
    usage = Usage(text_input_tokens=1, cached_text_input_tokens=1, image_output_tokens=0)
    # One cached token at $0.2 a million is a fifth of a micro.
    assert price(mini, size="1024x1024", quality="low", count=1, usage=usage) == 1


def test_auto_is_the_dearest_it_may_mean():
    image = model("gpt-image-2")
    text = WRAPPING_TOKENS * 5
    assert price(image, size="auto", quality="auto", count=1) == 211_000 + text
    assert price(image, size="1024x1536", quality="auto", count=1) == 165_000 + text
    assert price(image, size="auto", quality="low", count=1) == 6_000 + text


def test_the_bill_is_by_tokens_where_they_are_reported():
    usage = Usage(
        text_input_tokens=100,
        cached_text_input_tokens=40,
        image_input_tokens=10,
        cached_image_input_tokens=5,
        image_output_tokens=1756,
        text_output_tokens=2,
    )
    billed = price(model("gpt-image-1.5"), size="1024x1024", quality="high", count=1, usage=usage)
    # Micros a token: text 5 and 1.25 cached, image 8 and 2 cached, output 32 and 10 for text.
    assert billed == 60 * 5 + 50 + 5 * 8 + 5 * 2 + 1756 * 32 + 2 * 10


def test_a_bill_by_tokens_does_not_ask_for_a_price_of_the_size():
    usage = Usage(text_input_tokens=0, image_output_tokens=1000)
    assert price(model("gpt-image-2"), size="1536x864", quality="x", count=1, usage=usage) == 30_000


def test_the_bill_is_by_units_where_they_are_reported():
    dev = model("fal-ai/flux/dev")
    arguments = {"size": "1024x1024", "quality": "standard", "count": 1}
    assert price(dev, **arguments, usage=Usage(billable_units=Decimal(1))) == 25_000
    assert price(dev, **arguments, usage=Usage(billable_units=Decimal("1.048576"))) == 26_215
    assert price(dev, **arguments, usage=Usage(billable_units=Decimal("1E-999999"))) == 1
    assert price(dev, **arguments, usage=Usage(billable_units=Decimal(0))) == 0
    # Units of a model that is not priced by them say nothing.
    assert (
        price(
            model("sandbox-image"),
            size="512x512",
            quality="standard",
            count=1,
            usage=Usage(billable_units=Decimal(7)),
        )
        == 40_000
    )


def test_the_bill_is_by_images_made_where_nothing_else_is_reported():
    sandbox = model("sandbox-image")
    bill = {"size": "512x512", "quality": "standard", "count": 4}
    assert price(sandbox, **bill, usage=Usage(images=3)) == 120_000
    assert price(sandbox, **bill, usage=Usage(images=0)) == 0
    assert price(sandbox, **bill, usage=Usage()) == 160_000


def test_what_has_no_price_is_told_with_what_has():
    with pytest.raises(Unpriced, match=r"sizes 512x512, .* qualities standard, premium") as caught:
        price(model("sandbox-image"), size="256x256", quality="standard", count=1)
    error = caught.value
    assert (error.model, error.size, error.quality) == ("sandbox-image", "256x256", "standard")
    assert (error.qualities, error.substitute) == (("standard", "premium"), "")
    with pytest.raises(Unpriced, match=r"none at all\. Use the model 'gpt-image-2'") as caught:
        price(model("chatgpt-image-latest"), size="1024x1024", quality="high", count=1)
    assert caught.value.substitute == "gpt-image-2"
    # The sandbox can't be left to choose.
    with pytest.raises(Unpriced):
        price(model("sandbox-image"), size="auto", quality="standard", count=1)


def test_a_price_by_steps_is_in_proportion_and_rounds_up():
    novita = model("flux-1-schnell")
    arguments = {"size": "512x512", "quality": "standard", "count": 2}
    assert price(novita, **arguments) == 1_500
    assert price(novita, **arguments, settings=Settings(steps=8)) == 3_000
    # A quarter of 750 is 187.5.
    assert price(novita, **arguments, settings=Settings(steps=1)) == 2 * 188
    # Where the price knows no steps, they change nothing.
    dev = {"size": "1024x1024", "quality": "standard", "count": 1}
    schnell = model("fal-ai/flux/dev")
    assert price(schnell, **dev, settings=Settings(steps=1)) == price(schnell, **dev)


def test_images_given_count_for_each_image_asked_for():
    image = model("gpt-image-2")
    arguments = {"size": "1024x1024", "quality": "low", "count": 2}
    given = Settings(references=("a", "b"), mask="c")
    # Per image: 6 000, and 4 times 64 tokens of text, and 3 images of 2 048 tokens.
    assert price(image, **arguments, settings=given) == 2 * (6_000 + 4 * 64 * 5 + 3 * 2_048 * 8)
    usage = Usage(text_input_tokens=10, image_input_tokens=3_000, image_output_tokens=200)
    billed = price(image, **arguments, settings=given, usage=usage)
    assert billed == 10 * 5 + 3_000 * 8 + 200 * 30
    silent = Usage(text_input_tokens=10, image_output_tokens=200)
    assert price(image, **arguments, settings=given, usage=silent) == (
        10 * 5 + 2 * 3 * 2_048 * 8 + 200 * 30
    )


def test_what_a_style_adds_is_paid_too():
    image = model("gpt-image-2")
    arguments = {"size": "1024x1024", "quality": "low", "count": 1, "prompt": "a fox"}
    photo = styles()["photo"]
    sent = f"a fox, {photo.suffix}\nAvoid: fog, {photo.negative_prompt}"
    settings = Settings(style="photo", negative_prompt="fog")
    assert steered(image, "a fox", settings) == (sent, Settings())
    assert price(image, **arguments, settings=settings) == 6_000 + (len(sent) + 64) * 5


def test_a_style_that_there_is_no_more_adds_nothing():
    image = model("gpt-image-2")
    assert steered(image, "a fox", Settings(style="gone", seed=7)) == ("a fox", Settings(seed=7))
    plain = Settings(seed=7)
    # Thousands of past rows are priced in one call, most of them plain.
    assert steered(image, "a fox", plain)[1] is plain


@pytest.mark.parametrize("image", Catalogue.load().models(Kind.IMAGE), ids=lambda image: image.name)
def test_the_prices_of_an_image_are_those_that_its_size_and_quality_may_mean(image):
    words = ("auto", "none", *image.sizes), ("auto", "none", *image.qualities)
    for size, quality in product(*words):
        expected = [
            micros
            for name, row in image.micros_per_image.items()
            for extent, micros in row.items()
            if quality in {name, "auto"} and size in {extent, "auto"}
        ]
        if "auto" in {size, quality} and not image.accepts_auto:
            expected = []
        assert list(image.image_prices(size=size, quality=quality)) == expected


def test_a_computation_is_billed_by_its_seconds():
    painter = model("stabilityai/stable-diffusion-xl-base-1.0")
    arguments = {"size": "512x512", "quality": "standard", "count": 1}
    assert price(painter, **arguments) == 14_400
    assert price(painter, **arguments, usage=Usage(seconds=Decimal("3.001"))) == 361
    # Seconds of a model that is not priced by them say nothing.
    sandbox = {"size": "512x512", "quality": "standard", "count": 1}
    assert price(model("sandbox-image"), **sandbox, usage=Usage(seconds=Decimal(9))) == 40_000


def test_chat_is_estimated_by_its_bytes_and_its_bound():
    talker = model("openai/gpt-oss-20b")
    settings = Settings(system="be kind", messages=(Message(Role.USER, "é"),), max_tokens=1_000)
    arguments = {"size": "", "quality": "standard", "count": 2, "prompt": "hello"}
    # (5 + 7 + 2) bytes and 3 times 64 and 256 tokens at 0.075 micros, 1 000 at 0.3, twice.
    each = (14 + 192 + 256) * 75 + 1_000 * 300
    assert price(talker, **arguments, settings=settings) == -(-2 * each // 1_000)
    unsaid = (5 + 64 + 256) * 75 + 1_024 * 300
    assert price(talker, **arguments) == -(-2 * unsaid // 1_000)


def test_chat_is_billed_by_its_tokens():
    arguments = {"size": "", "quality": "premium", "count": 1, "prompt": "hello"}
    usage = Usage(
        text_input_tokens=1_000,
        cached_text_input_tokens=300,
        cache_write_text_input_tokens=500,
        text_output_tokens=50,
    )
    billed = price(model("gpt-6-sol"), **arguments, usage=usage)
    assert billed == 200 * 2 + 300 * 0.2 + 500 * 2.5 + 50 * 10
    # A stream that was cut short and told nothing of its answer is paid by its bound.
    cut = Usage(text_input_tokens=1_000)
    settings = Settings(max_tokens=100)
    assert price(model("gpt-6-sol"), **arguments, settings=settings, usage=cut) == 2_000 + 1_000


def test_video_is_priced_by_its_seconds():
    film = model("bytedance/seedance-2.0/text-to-video")
    arguments = {"size": "720p", "quality": "premium", "count": 2, "settings": Settings(seconds=4)}
    # Its file may be longer by some frames.
    assert price(film, **arguments) == 2 * 4.5 * 303_400
    assert price(film, **arguments, usage=Usage(videos=1)) == 4 * 303_400
    assert price(film, **arguments, usage=Usage(seconds=Decimal("4.5"))) == 1_365_300
    with pytest.raises(Unpriced, match="a video of size '999p'"):
        price(film, **arguments | {"size": "999p"})


def test_a_price_too_large_is_an_error():
    usage = Usage(text_input_tokens=0, image_output_tokens=2**53)
    with pytest.raises(OverflowError, match="gpt-image-2"):
        price(model("gpt-image-2"), size="1024x1024", quality="low", count=1, usage=usage)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": -1}, "images is -1"),
        ({"image_output_tokens": 1.5}, "image_output_tokens is 1.5"),
        ({"text_output_tokens": True}, "text_output_tokens is True"),
        ({"text_input_tokens": 1, "cached_text_input_tokens": 2}, "cached_text_input_tokens is"),
        ({"cached_image_input_tokens": 1}, "cached_image_input_tokens is"),
        (
            {
                "text_input_tokens": 3,
                "cached_text_input_tokens": 2,
                "cache_write_text_input_tokens": 2,
            },
            "cached_text_input_tokens and cache_write_text_input_tokens is more",
        ),
        ({"seconds": Decimal(-1)}, "seconds"),
        ({"billable_units": Decimal("NaN")}, "billable_units"),
        ({"billable_units": Decimal("Infinity")}, "billable_units"),
        ({"billable_units": Decimal("-0.1")}, "billable_units"),
        ({"billable_units": Decimal("1E+999999")}, "billable_units"),
    ],
)
def test_a_usage_that_cannot_be_true_is_refused(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Usage(**arguments)
