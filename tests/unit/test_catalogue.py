"""The catalogue: what it says, what a request gets, and which files it refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from generations.catalogue import (
    BadCatalogue,
    Catalogue,
    Choice,
    Kind,
    NoLiveProvider,
    RetiredModel,
    Status,
    UnknownModel,
)
from generations.settings import Settings

GOOD = (Path(__file__).parents[1] / "fixtures" / "catalogue.toml").read_text(encoding="utf-8")
TODAY = date(2026, 11, 21)
RETIRE_DATE = date(2026, 12, 1)
EVERYONE = {"openai", "fal", "sandbox"}


@pytest.fixture
def small() -> Catalogue:
    """The small catalogue of the fixtures."""
    return Catalogue.parse(GOOD, "small.toml")


def names(choices: list[Choice]) -> list[tuple[str, str]]:
    """Return the model and quality of each choice."""
    return [(choice.model.name, choice.quality) for choice in choices]


def test_our_own_file_is_read_once_and_tells_the_facts():
    catalogue = Catalogue.load()
    assert Catalogue.load() is catalogue
    assert {model.kind for model in catalogue.models()} == set(Kind)
    image = catalogue.find("gpt-image-2", today=TODAY)
    assert image.micros_per_image["high"]["1024x1024"] == 211_000
    assert image.micros_per_million_tokens["image_output"] == 30_000_000
    assert catalogue.find("fal-ai/flux/schnell", today=TODAY).micros_per_megapixel == 3_000
    sandbox = catalogue.find("sandbox-image", today=TODAY)
    assert sandbox.sizes == ("512x512", "1024x1024", "1024x1536", "1536x1024")
    assert sandbox.micros_per_image["standard"]["512x512"] == 40_000
    assert sandbox.micros_per_image["premium"]["1536x1024"] == 80_000
    assert "makes no real generation" in sandbox.note


def test_every_substitute_of_our_own_file_can_be_used_today():
    catalogue = Catalogue.load()
    for model in catalogue.models():
        if model.substitute:
            assert catalogue.find(model.substitute, today=TODAY).status is Status.LIVE


def test_our_own_defaults_fall_back_from_provider_to_provider():
    choices = Catalogue.load().choices
    assert names(choices("image", "premium", "", EVERYONE, TODAY)) == [
        ("gpt-image-2", "high"),
        ("gpt-image-2", "medium"),
    ]
    assert names(choices("image", "premium", "", {"fal", "sandbox"}, TODAY)) == [
        ("fal-ai/flux-pro/v1.1", "premium"),
        ("fal-ai/flux/schnell", "standard"),
    ]
    assert names(choices("image", "premium", "", {"sandbox"}, TODAY)) == [
        ("sandbox-image", "premium"),
        ("sandbox-image", "standard"),
    ]
    assert names(choices("image", "standard", "", {"sandbox"}, TODAY)) == [
        ("sandbox-image", "standard")
    ]


def test_models_are_filtered_by_kind(small: Catalogue):
    assert [model.name for model in small.models("chat")] == ["talker"]
    assert len(small.models()) == 6


def test_a_model_named_is_the_only_choice(small: Catalogue):
    assert names(small.choices("image", "low", "painter-2", EVERYONE, TODAY)) == [
        ("painter-2", "low")
    ]
    assert names(small.choices("image", "", "painter-2", EVERYONE, TODAY)) == [
        ("painter-2", "high")
    ]


def test_a_candidate_that_has_retired_is_passed_over(small: Catalogue):
    before = small.choices("image", "premium", "", EVERYONE, TODAY)
    after = small.choices("image", "premium", "", EVERYONE, RETIRE_DATE)
    assert names(before) == [("painter-1", "standard"), ("painter-2", "low")]
    assert names(after) == [("painter-2", "high"), ("painter-2", "low")]


def test_a_candidate_without_a_price_at_the_size_is_passed_over(small: Catalogue):
    own = Catalogue.load().choices("image", "premium", "", EVERYONE, TODAY, size="512x512")
    assert names(own) == [("fal-ai/flux-pro/v1.1", "premium"), ("fal-ai/flux/schnell", "standard")]
    choices = small.choices("image", "standard", "", EVERYONE, TODAY, size="512x512")
    assert names(choices) == [("painter-2", "low")]


def test_premium_is_refused_if_only_standard_can_be_had(small: Catalogue):
    with pytest.raises(NoLiveProvider, match="a premium image 512x512"):
        small.choices("image", "premium", "", EVERYONE, TODAY, size="512x512")
    text = GOOD.replace('{ model = "painter-2", quality = "low" }, ', "")
    only_premium = Catalogue.parse(text, "small.toml")
    choices = only_premium.choices("image", "premium", "", {"openai"}, TODAY)
    assert names(choices) == [("painter-1", "standard")]


def test_a_candidate_that_does_not_take_the_settings_is_passed_over(small: Catalogue):
    seeded = small.choices("image", "standard", "", EVERYONE, TODAY, settings=Settings(seed=7))
    assert names(seeded) == [("brush", "standard")]
    many = {"settings": Settings(seed=7), "count": 5}
    with pytest.raises(NoLiveProvider):
        small.choices("image", "standard", "", EVERYONE, TODAY, **many)
    assert small.takers("image", Settings(seed=7)) == ("brush",)
    assert small.takers("image", Settings(seed=7), 5) == ()
    # A style is a part of the prompt, which all take.
    styled = small.choices("image", "standard", "", EVERYONE, TODAY, settings=Settings(style="x"))
    assert names(styled) == [("painter-2", "low")]


def test_the_candidates_fall_back_from_provider_to_provider():
    choices = Catalogue.load().choices
    tried, models = [], []
    providers = {"openai", "fal", "stability", "novita", "huggingface", "sandbox"}
    while len(tried) < len(providers) - 1:
        found = choices("image", "standard", "", providers, TODAY, without=tried)
        tried.append(found[0].model.provider)
        models.append(found[0].model.name)
    assert models == [
        *("gpt-image-2", "fal-ai/flux/schnell", "flux-1-schnell", "stable-image-core"),
        "stabilityai/stable-diffusion-xl-base-1.0",
    ]
    # Placeholders never stand in for what real providers were asked for.
    with pytest.raises(NoLiveProvider):
        choices("image", "standard", "", providers, TODAY, without=tried)
    with pytest.raises(NoLiveProvider, match="the model 'gpt-image-2'"):
        choices("image", "high", "gpt-image-2", providers, TODAY, without=["openai"])


def test_chat_and_video_have_defaults_too():
    choices = Catalogue.load().choices
    assert names(choices("chat", "premium", "", {"groq", "novita", "sandbox"}, TODAY)) == [
        ("openai/gpt-oss-120b", "premium"),
        ("openai/gpt-oss-20b", "standard"),
    ]
    sandbox = names(choices("video", "premium", "", {"sandbox"}, TODAY, size="720p"))
    assert sandbox == [("sandbox-video", "premium"), ("sandbox-video-mini", "standard")]
    # OpenAI's models that think take no temperature.
    warm = choices("chat", "standard", "", {"openai"}, TODAY, settings=Settings(temperature=0.5))
    assert names(warm) == [("gpt-4o-mini", "standard")]


def test_a_computation_is_priced_by_its_longest():
    model = Catalogue.load().find("stabilityai/stable-diffusion-xl-base-1.0", today=TODAY)
    assert model.micros_per_compute_second == 120
    assert model.image_prices(size="1024x1024", quality="standard") == (120 * 120,)


OPERATORS = """
[[model]]
provider = "novita"
model = "sd_xl_base_1.0.safetensors"
kind = "image"
status = "live"
default_quality = "standard"
confidence = "high"
sources = ["our contract"]
[model.micros_per_image]
standard = { "1024x1024" = 2_000 }

[[default]]
kind = "image"
quality = "standard"
candidates = [{ model = "sd_xl_base_1.0.safetensors", quality = "standard" }]
"""


def test_an_operators_file_goes_before_our_own(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text(OPERATORS)
    ours, theirs = Catalogue.load(), Catalogue.load(file)
    name = "sd_xl_base_1.0.safetensors"
    assert not ours.find(name, today=TODAY).is_priced(size="1024x1024", quality="standard")
    assert theirs.find(name, today=TODAY).micros_per_image["standard"]["1024x1024"] == 2_000
    assert len(theirs.models()) == len(ours.models())
    assert names(theirs.choices("image", "premium", "", {"openai", "novita"}, TODAY)) == [
        ("gpt-image-2", "high"),
        (name, "standard"),
    ]
    assert names(theirs.choices("chat", "standard", "", {"groq"}, TODAY)) == [
        ("openai/gpt-oss-20b", "standard")
    ]


def test_what_an_operators_file_changes_is_changed_in_our_defaults_too(tmp_path):
    file = tmp_path / "prices.toml"
    text = OPERATORS.partition("[[default]]")[0].replace(
        "sd_xl_base_1.0.safetensors", "fal-ai/flux/schnell"
    )
    file.write_text(text.replace('"novita"', '"fal"'))
    (choice,) = Catalogue.load(file).choices("image", "standard", "", {"fal"}, TODAY)
    assert choice.model.micros_per_image["standard"] == {"1024x1024": 2_000}
    # A model without our candidate's quality is no candidate any more.
    file2 = tmp_path / "others.toml"
    file2.write_text(text.replace('"novita"', '"fal"').replace("standard", "basic"))
    with pytest.raises(NoLiveProvider):
        Catalogue.load(file2).choices("image", "standard", "", {"fal"}, TODAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "prices.toml can't be read: "),
        (OPERATORS.replace("2_000", "-1"), "prices.toml: model 1 'sd_xl_base_1.0.safetensors'"),
        (OPERATORS.replace('status = "live"', 'status = "old"'), "status: is 'old'"),
        ("[[model]]", "prices.toml: model 1: model: must be given"),
    ],
)
def test_an_operators_file_that_is_no_good_is_told(tmp_path, text, message):
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadCatalogue) as caught:
        Catalogue.load(file)
    assert message in str(caught.value)


def test_no_live_provider_names_those_that_could(small: Catalogue):
    with pytest.raises(NoLiveProvider, match=r"a standard image 512x512.*: openai, fal") as caught:
        small.choices("image", "standard", "", {"sandbox"}, TODAY, size="512x512")
    assert caught.value.providers == ("openai", "fal")
    with pytest.raises(NoLiveProvider, match=r"the model 'painter-2'.*: openai"):
        small.choices("image", "high", "painter-2", {"fal"}, TODAY)
    with pytest.raises(NoLiveProvider, match="ask for another size"):
        small.choices("image", "premium", "", EVERYONE, TODAY, size="9999x9999")


def test_an_unknown_model_is_told_with_names_like_it(small: Catalogue):
    with pytest.raises(UnknownModel, match="Did you mean painter-2 or painter-1") as caught:
        small.find("paintr-2", today=TODAY)
    assert caught.value.near == ("painter-2", "painter-1")
    with pytest.raises(UnknownModel, match="List the models"):
        small.find("z" * 1_000_000, today=TODAY)


def test_a_model_of_another_kind_is_unknown_for_this_one(small: Catalogue):
    with pytest.raises(UnknownModel):
        small.choices("image", "", "talker", {"groq"}, TODAY)


def test_retirement_begins_on_its_date(small: Catalogue):
    retiring = small.find("painter-1", today=date(2026, 11, 30))
    assert retiring.status_on(date(2026, 11, 30)) is Status.RETIRING
    assert retiring.status_on(RETIRE_DATE) is Status.RETIRED
    with pytest.raises(RetiredModel, match=r"retired on 2026-12-01\. Use 'painter-2'") as caught:
        small.find("painter-1", today=RETIRE_DATE)
    assert (caught.value.name, caught.value.substitute) == ("painter-1", "painter-2")
    assert caught.value.retire_date == RETIRE_DATE


def test_a_price_by_the_megapixel_counts_each_one_begun(small: Catalogue):
    brush = small.find("brush", today=TODAY)
    assert brush.micros_per_image == {
        "standard": {"512x512": 3_000, "1024x1024": 6_000},
        "premium": {"512x512": 3_000, "1024x1024": 6_000},
    }


def test_a_token_without_a_rate_has_that_of_its_stand_in(small: Catalogue):
    rates = small.find("painter-2", today=TODAY).micros_per_million_tokens
    assert rates["cached_text_input"] == 1_250_000
    assert rates["cached_image_input"] == rates["image_input"]
    assert rates["text_output"] == rates["image_output"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[model]]\nprovider", "[[model\nprovider", "small.toml: is not TOML"),
        (GOOD, "", "small.toml: model: must be given, as [[model]] tables"),
        (GOOD, "model = 3", "small.toml: model: must be given, as [[model]] tables"),
        (GOOD, "model = [3]", "small.toml: model 1: must be a table"),
        ("# A small", "extra = 1\n# A small", "small.toml: extra: is no key of this table"),
        ('model = "painter-2"', "", "model 1: model: must be given"),
        ('model = "painter-1"', 'model = "painter-2"', "'painter-2' is listed twice"),
        ('provider = "fal"', "provider = 3", "model 3 'brush': provider: must be given, as text"),
        ('kind = "chat"', 'kind = "voice"', "'talker': kind: is 'voice'; must be one of: image"),
        ('status = "retiring"', 'status = "old"', "status: is 'old'; must be one of: live"),
        ('status = "retiring"', 'status = "live"', "'painter-1': retire_date: does not go with"),
        ("retire_date = 2026-12-01", "", "'painter-1': retire_date: does not go with"),
        ("2026-12-01", '"2026-12-01"', "retire_date: must be a date without quotes"),
        ("2026-12-01", "2026-12-01T00:00:00Z", "retire_date: must be a date without quotes"),
        ('low"\nsources', 'sure"\nsources', "'sketch': confidence: must be one of: high"),
        (
            'retire_date = 2026-12-01\nsubstitute = "painter-2"',
            "retire_date = 2026-12-01",
            "'painter-1': substitute: must be given, as the model is retiring",
        ),
        (
            '2026-12-01\nsubstitute = "painter-2"',
            '2026-12-01\nsubstitute = "talker"',
            "'painter-1': substitute: 'talker' is no live image model",
        ),
        ('sources = ["a source"]', "sources = []", "sources: must be given, as a list of texts"),
        ("accepts_auto = true", "accepts_auto = 1", "accepts_auto: must be true or false"),
        ("accepts_auto", "acepts_auto", "'painter-2': acepts_auto: is no key of this table"),
        ("5_000, ", "0.005, ", "micros_per_image: low: 512x512: is 0.005; must be an integer"),
        ("5_000, ", "0, ", "low: 512x512: is 0; must be an integer of micros"),
        ("5_000, ", "-5, ", "low: 512x512: is -5; must be an integer of micros"),
        ("5_000, ", "true, ", "low: 512x512: is True; must be an integer of micros"),
        ("5_000, ", "9007199254740992, ", "512x512: is 9007199254740992; must be an integer"),
        ("5_000, ", '"5000", ', "low: 512x512: is '5000'; must be an integer of micros"),
        ('{ "512x512" =', '{ "big" =', "micros_per_image: big: is no size"),
        ('{ "512x512" =', '{ "0x512" =', "micros_per_image: 0x512: is no size"),
        ('high = { "1024x1024" = 211_000 }', "high = {}", "micros_per_image: high: must be"),
        ('high = { "1024x1024" = 211_000 }', "high = 3", "micros_per_image: high: must be a table"),
        ("high = {", "auto = {", "micros_per_image: auto: must be a quality"),
        ('default_quality = "high"', "", "'painter-2': default_quality: must be given"),
        ('default_quality = "high"', 'default_quality = "hd"', "must be one of: low, high"),
        ('["512x512", "1024x1024"]', '["512x512", "512x512"]', "sizes: names something twice"),
        ('["512x512", "1024x1024"]', '["512"]', "'brush': 512: is no size"),
        ("micros_per_megapixel = 3_000", "", "'brush': default_quality: must be one of"),
        ("text_input = 5_000_000\n", "", "micros_per_million_tokens: text_input: is missing"),
        ("cached_text_input = 1_", "cached_text_input = 6_", "must not be above text_input"),
        ("output = 300_000", "output = 300_000\nthought = 1", "thought: is no kind of token"),
        ("output = 300_000\n", "output = 300_000\n[model.micros_per_second]\nany = 1\n", "is no"),
        ('"system", ', '"tools", ', "accepts: settings: has 'tools'; may have: messages, seed"),
        ('["png"]', '["gif"]', "accepts: output_formats: has 'gif'; may have: jpeg, png, webp"),
        ("references_max", "references", "accepts: references: is no key of this table"),
        ("steps_max = 4", "steps_max = -4", "accepts: steps_max: is -4; must be an integer"),
        ("seconds_max = 15", "seconds_max = 3", "accepts: seconds_max: must not be below seconds"),
        ("tokens_per_reference = 2_048\n", "", "'painter-2': tokens_per_reference: must be given"),
        ("[model.micros_per_second]\n", "[model.x]\n", "'filmer': x: is no key of this table"),
        ('quality = "standard"\naccepts = { set', 'quality = "x"\naccepts = { set', "is 'x'; must"),
        (", steps_max = 4", " }\npriced_steps = 4\nx = { x = 1", "priced_steps: needs accepts."),
        (
            "micros_per_megapixel = 3_000",
            'micros_per_megapixel = 3_000\nmicros_per_image.standard = { "512x512" = 1 }',
            "micros_per_megapixel: can't stand beside another price",
        ),
        ('quality = "premium"', 'quality = "standard"', "default 2: quality: image standard is"),
        ('kind = "image"\nquality = "standard"', 'kind = "chat"\nquality = "standard"', "default"),
        ('{ model = "brush"', '{ model = "broom"', "candidate 2: model: 'broom' is no usable"),
        ('{ model = "brush"', '{ model = "talker"', "candidate 2: model: 'talker' is no usable"),
        (', quality = "low"', ', quality = "lo"', "quality: is 'lo'; painter-2 has: low, high"),
        (', quality = "low"', "", "default 2: candidate 1: quality: must be given"),
        ('[{ model = "painter-2"', '[3, { model = "painter-2"', "candidate 1: must be a table"),
    ],
)
def test_a_bad_file_is_refused_by_entry_and_key(old: str, new: str, message: str):
    assert old in GOOD
    with pytest.raises(BadCatalogue) as caught:
        Catalogue.parse(GOOD.replace(old, new, 1), "small.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("small.toml: ")


def test_defaults_need_both_classes(small: Catalogue):
    text = GOOD[: GOOD.rindex("[[default]]")]
    with pytest.raises(BadCatalogue, match="the standard candidates for image are missing"):
        Catalogue.parse(text, "small.toml")
    assert small.default_sizes("image") == ("1024x1024", "512x512")
