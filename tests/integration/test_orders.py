"""What is sent to a provider: the style worked in, and the files that a request names."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from generating import insert_artifact, insert_generation
from generations.artifacts import ArtifactStore
from generations.catalogue import Catalogue
from generations.models import Kind
from generations.requests import GenerationRequest
from generations.settings import Settings
from generations.styles import styles
from workers.database import make_pool
from workers.orders import NO_INPUTS, InputMissing, order, read_inputs
from workers.providers.base import ProducedFile
from workers.rows import Attempt, AttemptState, Claim, Option
from workers.store import WorkStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
async def store(ledger_url):
    pool = make_pool(ledger_url, size_max=2)
    await pool.open()
    yield WorkStore(pool)
    await pool.close()


def sent(model, settings, inputs=NO_INPUTS, quality="standard"):
    """Return what is sent to a model."""
    request = GenerationRequest(
        "acme", Kind.IMAGE, "a fox ", "", "1024x1024", "standard", 2, settings
    )
    attempt = Attempt(
        number=3,
        state=AttemptState.DISPATCHED,
        options=(Option("any", model, quality, 1),),
        option_index=0,
        reservation_id="acme/r",
        remote_id="",
        dispatch_age_s=0.0,
        actual_micros=None,
        actual_images=None,
        presumed_spent=False,
        failure=None,
    )
    claim = Claim("acme/g", 1, request, NOW, 0, ())
    return order(Catalogue.load(), claim, attempt, inputs)


async def test_the_files_that_are_named_are_read(store, ledger_url, tmp_path):
    names = [await insert_artifact(ledger_url, tmp_path) for _ in range(2)]
    artifacts = ArtifactStore(str(tmp_path))
    settings = Settings(references=(names[0], names[1]), mask=names[0])
    inputs = await read_inputs(store, artifacts, settings)
    image = ProducedFile(b"an image", "image/png", None, None)
    assert inputs == ((image, image), image)
    assert await read_inputs(store, artifacts, Settings(seed=7)) == NO_INPUTS
    request = sent("gpt-image-2", settings, inputs)
    assert (request.references, request.mask) == inputs
    assert request.attempt_id == "acme/g:3"
    assert (request.count, request.size, request.user) == (2, "1024x1024", request.user)
    assert "acme" not in request.user


async def test_a_file_that_is_gone_is_told(store, ledger_url, tmp_path):
    name = await insert_artifact(ledger_url, tmp_path)
    with pytest.raises(InputMissing, match=name):
        await read_inputs(store, ArtifactStore(str(tmp_path / "b")), Settings(references=(name,)))
    unfinished = f"{await insert_generation(ledger_url)}/0"
    with pytest.raises(InputMissing, match=unfinished):
        await read_inputs(store, ArtifactStore(str(tmp_path)), Settings(references=(unfinished,)))


def test_a_style_is_worked_in_as_the_model_can_be_told():
    photo = styles()["photo"]
    both = f"fog, {photo.negative_prompt}"
    asked = Settings(style="photo", negative_prompt="fog", seed=7)
    plain = dataclasses.replace(asked, style="", negative_prompt="")
    # Stability has a negative prompt; OpenAI's models read it in the prompt; fal's can't be told.
    told = sent("sd3.5-large", asked)
    assert (told.prompt, told.settings.negative_prompt) == (f"a fox, {photo.suffix}", both)
    told = sent("gpt-image-2", asked)
    assert told.prompt == f"a fox, {photo.suffix}\nAvoid: {both}"
    assert told.settings == plain
    told = sent("fal-ai/flux/dev", Settings(style="photo", seed=7))
    assert (told.prompt, told.settings) == (f"a fox, {photo.suffix}", plain)
    untouched = sent("fal-ai/flux/dev", Settings(seed=7))
    assert (untouched.prompt, untouched.settings) == ("a fox ", Settings(seed=7))


def test_what_is_no_longer_listed_is_sent_as_it_was_asked_for():
    told = sent("gone", Settings(style="photo"))
    assert (told.prompt, told.settings) == ("a fox ", Settings(style="photo"))
