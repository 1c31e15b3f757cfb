"""Novita's tasks: what was asked for, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generations.models import Model
from generations.settings import Settings
from workers.emulator.journal import Call
from workers.emulator.pictures import Order, find_model
from workers.emulator.scenarios import Rule, Scenario

PROVIDER = "novita"
FLUX = "flux-1-schnell"

_IMAGES_MAX = 8
_STEPS_MAX = 100
_SIDES = range(64, 2049)
_PROMPT_LENGTH_MAX = 1024
_FORMATS = ("png", "jpeg", "webp")


@dataclass(slots=True)
class Task:
    """A task; `call` is its submission, `ready` the loop's time at which it is done."""

    task_id: str
    order: Order
    fate: Rule | None
    call: Call
    ready: float
    asked: bool = False

    def status(self, now: float) -> str:
        """Return how far it is; whoever asks first finds it waiting, whatever its speed."""
        scenario = self.fate.scenario if self.fate else None
        if not self.asked:
            return "TASK_STATUS_QUEUED"
        if scenario is Scenario.JOB_STUCK or now < self.ready:
            return "TASK_STATUS_PROCESSING"
        if scenario in (Scenario.JOB_FAILED, Scenario.REFUSED):
            return "TASK_STATUS_FAILED"
        return "TASK_STATUS_SUCCEED"

    def reason(self) -> str:
        """Return why it has failed."""
        refused = self.fate is not None and self.fate.scenario is Scenario.REFUSED
        return "ILLEGAL_IMAGE_CONTENT" if refused else "TASK_FAILED"

    def answer(self, status: str, files_url: str) -> dict[str, Any]:
        """Return what is said of it in a state; the files lie below `files_url`."""
        percent = {"TASK_STATUS_QUEUED": 0, "TASK_STATUS_PROCESSING": 50}.get(status, 100)
        return {
            "extra": {"seed": "42", "enable_nsfw_detection": False, "debug_info": {}},
            "task": {
                "task_id": self.task_id,
                "task_type": "TXT_TO_IMG",
                "status": status,
                "reason": self.reason() if status == "TASK_STATUS_FAILED" else "",
                "eta": 0,
                "progress_percent": percent,
            },
            "images": self.images(files_url) if status == "TASK_STATUS_SUCCEED" else [],
            "videos": [],
            "audios": [],
        }

    def images(self, files_url: str) -> list[dict[str, Any]]:
        """Return where its images are."""
        form = self.order.output_format
        return [
            {
                "image_url": f"{files_url}/{self.task_id}/{index}.{form}",
                "image_url_ttl": 3600,
                "image_type": form,
            }
            for index in range(self.order.count)
        ]


class BadTask(ValueError):
    """What is wrong with what was asked for."""


def read_task(body: dict[str, Any]) -> Order:
    """Return what a task is to make. Raises BadTask."""
    wanted, extra = body.get("request"), body.get("extra") or {}
    if not isinstance(wanted, dict):
        raise BadTask("request is required")
    model = find_model(PROVIDER, wanted.get("model_name"))
    if model is None:
        raise BadTask("invalid model_name")
    return _read(wanted, model, extra.get("response_image_type", "png"))


def read_flux(body: dict[str, Any]) -> Order:
    """Return what Flux is to make. Raises BadTask."""
    model = find_model(PROVIDER, FLUX)
    if model is None or type(body.get("seed")) is not int:
        raise BadTask("seed is required")
    return _read(body, model, body.get("response_image_format", "png"))


def _read(wanted: dict[str, Any], model: Model, output_format: object) -> Order:
    prompt, count, steps = wanted.get("prompt"), wanted.get("image_num"), wanted.get("steps")
    sides = wanted.get("width"), wanted.get("height")
    faults = {
        "prompt must have 1 to 1024 characters": (
            not isinstance(prompt, str) or not 1 <= len(prompt) <= _PROMPT_LENGTH_MAX
        ),
        "invalid width or height": any(type(s) is not int or s not in _SIDES for s in sides),
        "invalid image_num": type(count) is not int or not 1 <= count <= _IMAGES_MAX,
        "invalid steps": type(steps) is not int or not 1 <= steps <= _STEPS_MAX,
        "invalid image type": output_format not in _FORMATS,
    }
    for fault, is_there in faults.items():
        if is_there:
            raise BadTask(fault)
    assert isinstance(count, int), "it was checked"
    size, settings = f"{sides[0]}x{sides[1]}", Settings(steps=steps)
    return Order(
        model,
        str(prompt),
        size,
        model.default_quality,
        count,
        str(output_format),
        settings=settings,
    )
