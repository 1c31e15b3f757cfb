"""Novita's tasks: what was asked for, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generations.models import Model
from workers.emulator.journal import Call
from workers.emulator.pictures import Order, find_model
from workers.emulator.scenarios import Rule, Scenario
from workers.providers.pictures import pixels

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
    output_format: str
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
        return [
            {
                "image_url": f"{files_url}/{self.task_id}/{index}.{self.output_format}",
                "image_url_ttl": 3600,
                "image_type": self.output_format,
            }
            for index in range(self.order.count)
        ]


def read_task(body: dict[str, Any]) -> tuple[Order | None, str, str]:
    """Return what a task is to make and in which format; or what is wrong with it."""
    wanted, extra = body.get("request"), body.get("extra") or {}
    if not isinstance(wanted, dict):
        return None, "", "request is required"
    model = find_model(PROVIDER, wanted.get("model_name"))
    output_format = str(extra.get("response_image_type", "png"))
    return _read(wanted, model, output_format, "invalid model_name")


def read_flux(body: dict[str, Any]) -> tuple[Order | None, str, str]:
    """Return what Flux is to make and in which format; or what is wrong with it."""
    if type(body.get("seed")) is not int:
        return None, "", "seed is required"
    output_format = str(body.get("response_image_format", "png"))
    return _read(body, find_model(PROVIDER, FLUX), output_format, "model is gone")


def _read(
    wanted: dict[str, Any], model: Model | None, output_format: str, unknown: str
) -> tuple[Order | None, str, str]:
    prompt, count, steps = wanted.get("prompt"), wanted.get("image_num"), wanted.get("steps")
    sides = wanted.get("width"), wanted.get("height")
    if model is None:
        return None, "", unknown
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= _PROMPT_LENGTH_MAX:
        return None, "", "prompt must have 1 to 1024 characters"
    if not all(type(side) is int and side in _SIDES for side in sides):
        return None, "", "invalid width or height"
    if type(count) is not int or not 1 <= count <= _IMAGES_MAX:
        return None, "", "invalid image_num"
    if type(steps) is not int or not 1 <= steps <= _STEPS_MAX:
        return None, "", "invalid steps"
    if output_format not in _FORMATS:
        return None, "", "invalid image type"
    size = f"{sides[0]}x{sides[1]}"
    pixels(size)
    return Order(model, prompt, size, model.default_quality, count, steps=steps), output_format, ""
