"""The emulator's Hugging Face, Novita and Stability: what they take, refuse and note."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from workers.emulator import Emulator, running_emulator

MODEL = "stabilityai/stable-diffusion-xl-base-1.0"
TASK = {
    "model_name": "sd_xl_base_1.0.safetensors",
    "prompt": "a red fox",
    "width": 512,
    "height": 512,
    "image_num": 1,
    "steps": 20,
}
FLUX = {key: value for key, value in TASK.items() if key != "model_name"} | {"seed": 7, "steps": 4}


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the emulator."""
    async with httpx.AsyncClient(base_url=emulator.url, trust_env=False) as made:
        yield made


async def huggingface(client, model=MODEL, *, key=Emulator.huggingface_key, **body):
    """Ask Hugging Face's side for an image."""
    headers = {"authorization": f"Bearer {key}"}
    return await client.post(f"/huggingface/models/{model}", json=body, headers=headers)


async def novita(client, path, body, *, key=Emulator.novita_key):
    """Ask Novita's side."""
    headers = {"authorization": f"Bearer {key}"}
    return await client.post(f"/novita{path}", json=body, headers=headers)


async def stability(client, endpoint="core", *, key=Emulator.stability_key, **fields):
    """Ask Stability's side for an image."""
    files = {name: (None, value) for name, value in fields.items()}
    headers = {"authorization": f"Bearer {key}", "accept": "image/*"}
    path = f"/stability/v2beta/stable-image/generate/{endpoint}"
    return await client.post(path, files=files, headers=headers)


async def test_the_answer_has_the_shape_of_hugging_faces(client, emulator):
    answer = await huggingface(client, inputs="shape", parameters={"width": 512, "height": 512})
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-compute-time"] == "1.25"
    [call] = await emulator.calls(provider="huggingface", prompt="shape")
    assert (call.billed_units, call.billed_micros, call.outcome) == ("1.25", 150, "made")


@pytest.mark.parametrize(
    ("model", "key", "body", "status"),
    [
        (MODEL, "hf_wrong", {"inputs": "x"}, 401),
        ("none-such/model", Emulator.huggingface_key, {"inputs": "x"}, 400),
        (MODEL, Emulator.huggingface_key, {}, 400),
        (MODEL, Emulator.huggingface_key, {"inputs": "x", "parameters": {"width": "wide"}}, 400),
        (
            MODEL,
            Emulator.huggingface_key,
            {"inputs": "x", "parameters": {"num_inference_steps": 0}},
            400,
        ),
    ],
)
async def test_requests_are_checked_as_hugging_face_does(client, model, key, body, status):
    answer = await huggingface(client, model, key=key, **body)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_the_answers_have_the_shape_of_novitas(client, emulator):
    body = {"extra": {"response_image_type": "webp"}, "request": TASK | {"prompt": "shape"}}
    task_id = (await novita(client, "/v3/async/txt2img", body)).json()["task_id"]
    headers = {"authorization": f"Bearer {Emulator.novita_key}"}
    path = f"/novita/v3/async/task-result?task_id={task_id}"
    first, second = [(await client.get(path, headers=headers)).json() for _ in range(2)]
    assert set(first) == {"extra", "task", "images", "videos", "audios"}
    assert (first["task"]["status"], first["images"]) == ("TASK_STATUS_QUEUED", [])
    assert (second["task"]["status"], second["task"]["progress_percent"]) == (
        "TASK_STATUS_SUCCEED",
        100,
    )
    [image] = second["images"]
    assert (await client.get(image["image_url"])).headers["content-type"] == "image/webp"
    [call] = await emulator.calls(provider="novita", step="submit", prompt="shape")
    assert (call.billed_units, call.billed_micros) == ("1", 5_000)


async def test_the_answer_has_the_shape_of_novitas_flux(client):
    answer = (await novita(client, "/v3beta/flux-1-schnell", FLUX)).json()
    assert set(answer) == {"images", "task"}
    assert answer["images"][0]["image_type"] == "png"


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v3/async/txt2img", {}, "INVALID_REQUEST_BODY"),
        ("/v3/async/txt2img", {"request": TASK | {"model_name": "x"}}, "INVALID_REQUEST_BODY"),
        ("/v3/async/txt2img", {"request": TASK | {"image_num": 9}}, "INVALID_REQUEST_BODY"),
        ("/v3/async/txt2img", {"request": TASK | {"width": True}}, "INVALID_REQUEST_BODY"),
        ("/v3/async/txt2img", {"request": TASK | {"steps": None}}, "INVALID_REQUEST_BODY"),
        ("/v3/async/txt2img", {"request": TASK | {"prompt": ""}}, "INVALID_REQUEST_BODY"),
        ("/v3beta/flux-1-schnell", FLUX | {"seed": None}, "INVALID_REQUEST_BODY"),
        (
            "/v3beta/flux-1-schnell",
            FLUX | {"response_image_format": "gif"},
            "INVALID_REQUEST_BODY",
        ),
    ],
)
async def test_requests_are_checked_as_novita_does(client, path, body, reason):
    answer = await novita(client, path, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def test_novita_wants_its_key(client):
    answer = await novita(client, "/v3beta/flux-1-schnell", FLUX, key="sk_wrong")
    assert (answer.status_code, answer.json()["reason"]) == (403, "INVALID_API_KEY")


async def test_the_answer_has_the_shape_of_stabilitys(client, emulator):
    answer = await stability(client, prompt="shape", aspect_ratio="2:3", output_format="jpeg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert (answer.headers["finish-reason"], answer.headers["seed"]) == ("SUCCESS", "42")
    [call] = await emulator.calls(provider="stability", prompt="shape")
    assert (call.model, call.billed_micros) == ("stable-image-core", 30_000)


@pytest.mark.parametrize(
    ("endpoint", "fields", "status"),
    [
        ("core", {}, 400),
        ("core", {"prompt": "x", "aspect_ratio": "4:3"}, 400),
        ("core", {"prompt": "x", "output_format": "gif"}, 400),
        ("core", {"prompt": "x", "seed": "-1"}, 400),
        ("core", {"prompt": "x", "image": "x", "strength": "0.5"}, 400),
        ("ultra", {"prompt": "x", "image": "x"}, 400),
        ("sd3", {"prompt": "x", "mode": "image-to-image"}, 400),
        ("sd3", {"prompt": "x", "model": "sd1"}, 404),
        ("mega", {"prompt": "x"}, 404),
    ],
)
async def test_requests_are_checked_as_stability_does(client, endpoint, fields, status):
    answer = await stability(client, endpoint, **fields)
    assert answer.status_code == status
    assert set(answer.json()) == {"id", "name", "errors"}


async def test_stability_wants_a_form_in_parts(client):
    headers = {"authorization": f"Bearer {Emulator.stability_key}"}
    path = "/stability/v2beta/stable-image/generate/core"
    answer = await client.post(path, data={"prompt": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "order",
    [
        {"provider": "stability", "scenario": "loading"},
        {"provider": "huggingface", "scenario": "refused"},
        {"provider": "huggingface", "scenario": "job_stuck"},
        {"provider": "novita", "scenario": "job_inline"},
        {"provider": "novita", "scenario": "drop", "step": "cancel"},
        {"provider": "stability", "scenario": "drop", "step": "file"},
        {"provider": "fal", "scenario": "job_unstoppable", "step": "cancel"},
    ],
)
async def test_an_order_that_a_provider_has_no_use_for_is_refused(client, order):
    assert (await client.post("/__ctl", json=order)).status_code == 400


async def test_the_environment_is_that_of_every_provider(emulator):
    keys = {name for name in emulator.environment if not name.endswith("_URL")}
    assert keys == {
        "OPENAI_API_KEY",
        "GROQ_API_KEY",
        "FAL_KEY",
        "HF_TOKEN",
        "NOVITA_API_KEY",
        "STABILITY_API_KEY",
    }
